"""The exchange played from bars that we hold: REST and WebSocket, at any speed, with faults to order."""
