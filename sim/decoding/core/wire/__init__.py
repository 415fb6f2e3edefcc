"""The wire: bit strings, subset codes and the row codec. What crosses the air is bytes that exist."""
