"""The wire protocol `asrctl.v1` without I/O: messages, their JSON, and a state machine for each side.

asrctl/server/PROTOCOL.md tells what goes over the wire. Neither side here has sockets, threads or a clock of
its own: frames go in, frames to send and events come out, so that any order of things can be tested.
"""
