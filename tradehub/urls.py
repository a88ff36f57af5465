from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from tradehub.health import HealthView

urlpatterns = [
    path("", include("webhooks.urls")),
    path("", include("orders.urls")),
    re_path(r"^api/health/?$", HealthView.as_view(), name="health"),
    path("admin/", admin.site.urls),
    re_path(r"^(?:admin)?$", RedirectView.as_view(pattern_name="admin:index"), name="home"),
]
