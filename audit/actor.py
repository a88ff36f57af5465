"""Who acts, and by what right."""

from dataclasses import dataclass

SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Actor:
    """A person, or a part of the service.

    `name` is the stable name that order events carry too, such as `user:7` or `tracker`. `right` is what allows the
    act: a permission such as `orders.change_order`, a reach such as `token th_1a2b3c4d`, or SERVICE. `label` is the
    person's name at that time, and `address` the network address that the person came from; "" where there is none.
    """

    name: str
    right: str
    label: str = ""
    address: str = ""

    @classmethod
    def of_service(cls, name: str) -> "Actor":
        return cls(name, SERVICE)
