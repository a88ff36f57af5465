"""The refusals of Binance, each with a code, an HTTP status and a message.

https://developers.binance.com/docs/binance-spot-api-docs/errors
https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code
"""

TABLE: dict[int, tuple[int, str]] = {
    -1000: (500, "An unknown error occurred while processing the request."),
    -1001: (500, "Internal error; unable to process your request. Please try again."),
    -1002: (401, "You are not authorized to execute this request."),
    -1003: (429, "Too many requests; please use the websocket for live updates to avoid polling the API."),
    -1006: (500, "An unexpected response was received from the message bus. Execution status unknown."),
    -1007: (
        504,
        "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    ),
    -1008: (503, "Server is currently overloaded with other requests. Please try again in a few minutes."),
    -1010: (400, "ERROR_MSG_RECEIVED."),
    -1013: (400, "Filter failure: LOT_SIZE"),
    -1015: (429, "Too many new orders."),
    -1016: (503, "This service is no longer available."),
    -1021: (400, "Timestamp for this request is outside of the recvWindow."),
    -1022: (400, "Signature for this request is not valid."),
    -1100: (400, "Illegal characters found in a parameter."),
    -1102: (400, "Mandatory parameter was not sent, was empty/null, or malformed."),
    -1104: (400, "Not all sent parameters were read."),
    -1106: (400, "A parameter was sent when not required."),
    -1111: (400, "Precision is over the maximum defined for this asset."),
    -1112: (400, "No orders on book for symbol."),
    -1115: (400, "Invalid timeInForce."),
    -1116: (400, "Invalid orderType."),
    -1117: (400, "Invalid side."),
    -1121: (400, "Invalid symbol."),
    -1127: (400, "More than 24 hours between startTime and endTime."),
    -1128: (400, "Combination of optional parameters invalid."),
    -1131: (400, "recvWindow must be less than 60000."),
    -2010: (400, "Account has insufficient balance for requested action."),
    -2011: (400, "Unknown order sent."),
    -2013: (400, "Order does not exist."),
    -2014: (401, "API-key format invalid."),
    -2015: (401, "Invalid API-key, IP, or permissions for action."),
    -2018: (400, "Balance is insufficient."),
    -2019: (400, "Margin is insufficient."),
    -2020: (400, "Unable to fill."),
    -2021: (400, "Order would immediately trigger."),
    -2022: (400, "ReduceOnly Order is rejected."),
    -2023: (400, "User in liquidation mode now."),
    -2024: (400, "Position is not sufficient."),
    -2025: (400, "Reach max open order limit."),
    -2027: (400, "Exceeded the maximum allowable position at current leverage."),
    -2028: (400, "Leverage is smaller than permitted: insufficient margin balance."),
    -4001: (400, "Price less than or equal to zero."),
    -4003: (400, "Quantity less than or equal to zero."),
    -4004: (400, "Quantity less than min quantity."),
    -4005: (400, "Quantity greater than max quantity."),
    -4014: (400, "Price not increased by tick size."),
    -4015: (400, "Client order id length should not be more than 36 chars"),
    -4016: (400, "Limit price can't be higher than the price cap."),
    -4023: (400, "Quantity not increased by step size."),
    -4024: (400, "Limit price can't be lower than the price floor."),
    -4028: (400, "Leverage is not valid"),
    -4045: (400, "Reach max stop order limit."),
    -4046: (400, "No need to change margin type."),
    -4047: (400, "Margin type cannot be changed if there exists open orders."),
    -4048: (400, "Margin type cannot be changed if there exists position."),
    -4059: (400, "No need to change position side."),
    -4061: (400, "Order's position side does not match user's setting."),
    -4084: (400, "Method is not allowed currently. Upcoming soon."),
    -4087: (400, "User can only place reduce only order"),
    -4088: (400, "User can not place order currently"),
    -4116: (400, "ClientOrderId is duplicated."),
    -4117: (400, "Stop order is triggering."),
    -4118: (400, "ReduceOnly order failed. Please check your existing position and open orders."),
    -4120: (
        400,
        "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
    ),
    -4131: (400, "The counterparty's best price does not meet the PERCENT_PRICE filter limit."),
    -4140: (400, "Invalid symbol status for opening position."),
    -4141: (400, "Symbol is closed."),
    -4165: (400, "Maximum time interval is 7 days."),
    -4164: (400, "Order's notional must be no smaller than 5 (unless you choose reduce only)."),
    -5000: (404, "Path not found."),
    -5021: (400, "Due to the order could not be filled immediately, the FOK order has been rejected."),
    -5022: (400, "Due to the order could not be executed as maker, the Post Only order will be rejected."),
    -5028: (400, "Timestamp for this request is outside of the ME recvWindow."),
}


class Refusal(Exception):
    """The exchange refused the request and changed nothing."""

    def __init__(self, code: int, message: str = "", status: int = 0) -> None:
        default_status, default_message = TABLE.get(code, (400, "Refused."))
        self.code = code
        self.message = message or default_message
        self.status = status or default_status
        super().__init__(f"{code} {self.message}")

    def body(self) -> dict[str, int | str]:
        return {"code": self.code, "msg": self.message}
