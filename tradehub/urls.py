from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from tradehub.health import HealthView
from tradehub.http.api_errors import UnknownAddressView

urlpatterns = [
    path("", include("webhooks.urls")),
    path("", include("orders.urls")),
    re_path(r"^api/health/?$", HealthView.as_view(), name="health"),
    re_path(r"^api/", UnknownAddressView.as_view()),
    path("admin/", admin.site.urls),
    re_path(r"^(?:admin)?$", RedirectView.as_view(pattern_name="admin:index"), name="home"),
]
