"""Steps, requests, rows, keyed randomness, messages: what protocols are made of."""
