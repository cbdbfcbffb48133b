"""Live audio in the protocols of others: what runs the state machines of `asrctl.protocol.dialect`."""
