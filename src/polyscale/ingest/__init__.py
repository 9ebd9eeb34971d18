"""From an exchange into the store: what is missing is asked for, what is absent is explained."""
