"""The one error that a person sees: what is wrong, where, what was expected, what was found, and what to do."""

from __future__ import annotations


class InputError(ValueError):
    """Wrong input from outside: a file, a parameter, a message or another process's announcement.

    The command line prints it as one line and exits with code 2; a node logs it and stays unconfigured.

    :param what: what is wrong, a few words.
    :param where: file and field, topic or parameter.
    :param expected: what would have been right.
    :param found: what was there instead.
    :param remedy: what to do about it.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        expected: object = None,
        found: object = None,
        remedy: str = "",
    ) -> None:
        self.what, self.where, self.expected, self.found, self.remedy = what, where, expected, found, remedy
        parts = [f"{where}: {what}" if where else what]
        if expected is not None:
            parts.append(f"expected {expected}")
        if found is not None:
            parts.append(f"found {found}")
        if remedy:
            parts.append(remedy)
        super().__init__("; ".join(parts))

    def at(self, place: str) -> InputError:
        """The same error with its ``where`` inside ``place``, a file or an episode."""
        where = f"{place}: {self.where}" if self.where else place
        return InputError(self.what, where=where, expected=self.expected, found=self.found, remedy=self.remedy)
