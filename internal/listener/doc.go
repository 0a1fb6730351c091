// Package listener owns the HTTP front doors of both planes: the listen
// grammar of the *_listen settings, the sockets behind it, TLS handshakes, the
// limits on connections, and a connection wrapper that refuses ambiguous
// HTTP/1 messages before net/http gets to see them.
//
// What a refused client is told is not decided here. The wrapper replaces the
// bad head by a harmless request of its own, and the server that [Server]
// returns hands that one to the plane's Refuse function with a [Reason].
// Certificates, routing and everything after the handler are left to others.
package listener
