"""What all tables have in common: their naming of constraints, a type, two kinds of constraint."""

from sqlalchemy import CheckConstraint, ForeignKey, Integer, MetaData
from sqlalchemy.types import BigInteger

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_N_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Big = BigInteger().with_variant(Integer, "sqlite")  # SQLite's rowid alias must be INTEGER


def one_of(column: str, values: type) -> CheckConstraint:
    names = ", ".join(f"'{member.value}'" for member in values)  # type: ignore[attr-defined]
    return CheckConstraint(f"{column} IN ({names})", name=column)


def cascade(target: str) -> ForeignKey:
    return ForeignKey(target, ondelete="CASCADE")
