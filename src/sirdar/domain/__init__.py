"""Pure types and rules of Sirdar. Standard library only; no clock, no I/O, no logging."""
