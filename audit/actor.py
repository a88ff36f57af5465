"""Who acts, and by what right."""

from dataclasses import dataclass

SERVICE = "service"
COMMAND_LINE = "command line"  # who may run manage.py on the server may do everything


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, or a part of the service.

    `name` is stable, such as `user:7` or `tracker`; order events carry the same name. `right` allows the act: a
    permission such as `orders.change_order`, a reach such as `token th_1a2b3c4d`, COMMAND_LINE or SERVICE. `label` is
    the person's name at the time of the act, and `address` the person's network address; "" where there is none.
    """

    name: str
    right: str
    label: str = ""
    address: str = ""

    @classmethod
    def of_service(cls, name: str) -> "Actor":
        return cls(name, SERVICE)

    @classmethod
    def of_command(cls, name: str) -> "Actor":
        """`name` is the management command. The service does not know the person at the command line."""
        return cls(f"command:{name}", COMMAND_LINE)
