import pytest

from tests.factories import UserFactory
from tradehub.http.addresses import RefuseImpossibleAddresses

pytestmark = pytest.mark.django_db
NUL = [
    "/api/orders/?status=%00",
    "/api/orders/?symbol=a%00b",
    "/api/trades/?client_order_id=%00",
    "/api/positions/?%00=1",
    "/api/orders/%00/",
    "/api/health?x=%00",
]
NUL_IN_ADMIN = [
    "/admin/orders/order/?status__exact=%00",
    "/admin/orders/trade/?q=%00",
    "/admin/orders/order/%00/change/",
]
TOO_LARGE = [
    "/admin/orders/order/?created_at__year=99999999999",
    "/admin/webhooks/webhooklog/?received_at__year=99999999999",
    "/admin/orders/order/?created_at__gte=0001-01-01 00:00:00%2B23:00",
    "/admin/orders/order/?created_at__month=99999999999",
]


@pytest.mark.parametrize("address", NUL)
@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "The address holds a value that cannot be used."),
        ("ko", "주소에 사용할 수 없는 값이 있습니다."),
    ],
)
def test_nul_in_an_address_of_the_api_is_refused_in_its_shape(client, address, language, text):
    client.force_login(UserFactory())

    response = client.get(address, headers={"Accept-Language": language})

    assert response.status_code == 400
    assert response.json() == {"success": False, "error": text, "code": "invalid_query", "webhook_id": None}


@pytest.mark.parametrize("address", NUL_IN_ADMIN)
def test_nul_in_an_address_of_the_admin_is_refused(admin_client, address):
    response = admin_client.get(address)

    assert (response.status_code, response["Content-Type"]) == (400, "text/plain; charset=utf-8")


@pytest.mark.parametrize("address", TOO_LARGE)
def test_numbers_that_no_column_holds_break_no_page(admin_client, address):
    assert admin_client.get(address).status_code in (200, 400)


def test_a_fault_while_something_is_changed_is_not_the_addresss(rf):
    middleware = RefuseImpossibleAddresses(lambda request: None)

    assert middleware.process_exception(rf.post("/admin/?x=1"), OverflowError()) is None
    assert middleware.process_exception(rf.get("/admin/"), OverflowError()) is None
    assert middleware.process_exception(rf.get("/admin/?x=1"), KeyError()) is None
