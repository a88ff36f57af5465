from django.urls import include, path
from rest_framework.routers import SimpleRouter

from orders.api import OrderViewSet, PositionViewSet, TradeViewSet

router = SimpleRouter()
router.trailing_slash = "/?"  # a redirect would lose the Authorization header
router.register("orders", OrderViewSet, basename="order")
router.register("trades", TradeViewSet, basename="trade")
router.register("positions", PositionViewSet, basename="position")

urlpatterns = [path("api/", include(router.urls))]
