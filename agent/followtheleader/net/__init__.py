"""The network as the agent sees it: one UDP socket, the interfaces it listens on, and who is there.

Nothing here knows what a datagram means. What a network, a peer or a firewall can do wrong is
counted or told by a callback, and never raised; only an address to listen on that cannot be had
raises `AddressError`. mDNS and name servers suggest addresses, they never take one away.
"""
