import pytest
from django.utils.translation import gettext, override

SEED_TEXTS = {
    "No active strategy found: %(group_name)s": "활성 전략을 찾을 수 없습니다: %(group_name)s",
    "The webhook token is not valid": "웹훅 토큰이 유효하지 않습니다",
    "A %(order_type)s order requires price": "%(order_type)s 주문에는 price가 필수입니다",
    "A %(order_type)s order requires stop_price": "%(order_type)s 주문에는 stop_price가 필수입니다",
    "There is no long position to close.": "보유한 롱 포지션이 없습니다.",
    "There is no short position to close.": "보유한 숏 포지션이 없습니다.",
    "The body is not valid JSON": "잘못된 JSON 형식입니다",
    "The request body is too large": "요청 본문이 너무 큽니다",
    "Required field missing: %(field)s": "필수 필드 누락: %(field)s",
    "At most %(max)s orders can be processed at once": "한 번에 최대 %(max)s개 주문까지 처리할 수 있습니다",
    "No account is connected to the strategy: %(group_name)s": "전략에 연결된 계좌가 없습니다: %(group_name)s",
    "A different message was already received with the same id": "같은 id로 다른 내용이 이미 접수되었습니다",
}


@pytest.mark.parametrize(("english", "korean"), SEED_TEXTS.items())
def test_agreed_texts_are_used_to_the_letter(english, korean):
    with override("ko"):
        assert gettext(english) == korean
    with override("en"):
        assert gettext(english) == english
