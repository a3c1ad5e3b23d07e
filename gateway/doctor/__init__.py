"""`meridian doctor`: looks once at everything a gateway stands on, and says what is wrong and what to do about it."""
