// Package metadata is the station beside the agent that answers instances at
// 169.254.169.254: it listens inside the namespaces of routers and networks,
// knows the asking port by where the request came in, by the address and by the
// MAC that has it there, and forwards to Nova or answers from the host's view.
package metadata

import (
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"neutrino"
	"neutrino/host"
)

// Options say whom the service answers and how.
type Options struct {
	// NetNSDir holds the names of network namespaces, "/run/netns" when empty.
	NetNSDir string
	// Lookup finds the one instance that asks; [Directory.Find] is one. A
	// [*Refusal] says that somebody asked in the name of another. The answer never
	// depends on a header.
	Lookup func(Asker) (Instance, error)
	// Nova is where requests are forwarded; without it the service answers itself.
	Nova *Nova
	// TokenKey signs the session tokens of the EC2 format; without one they end
	// with the process. Nova's answers need no token.
	TokenKey []byte
	Limits   Limits
	// Logger gets what an operator must know, [slog.Default] when nil. Neither
	// secrets nor what is asked and answered goes there.
	Logger *slog.Logger

	// resolve replaces the kernel's neighbour tables in tests.
	resolve func(host.Listener) resolver
}

// Asker is who asks, as far as the kernel knows it.
type Asker struct {
	Scope  string       // of the socket that it came in by: "router/<id>", "network/<id>"
	Client netip.Addr   // its address
	MAC    neutrino.MAC // where the kernel sends frames for that address; zero for unknown
}

// Nova is Nova's metadata service (metadata_agent.ini of Neutron).
type Nova struct {
	Protocol string      // nova_metadata_protocol, "http" or "https"
	Address  string      // nova_metadata_host and nova_metadata_port as host:port
	Secret   string      // metadata_proxy_shared_secret, signs the instance's id
	TLS      *tls.Config // for "https"; nil for the system's authorities
	Timeout  time.Duration
}

// Limits bound what instances can take of the host. Zero values stand for the
// defaults.
type Limits struct {
	Connections          int // of all instances at once
	ConnectionsPerScope  int // of one router's or network's instances
	ConnectionsPerSource int // of one address
	HeaderBytes          int // of one request
	BodyBytes            int64
	// Base and Burst bound the requests of one address; more are answered 429
	// ([metadata_rate_limiting] of Neutron).
	Base, Burst Rate
}

// Rate is a number of requests in a window; no limit where either is 0.
type Rate struct {
	Requests int
	Window   time.Duration
}

// The defaults of [Limits] and of [Nova]. 1024 is what Neutron's proxy of one
// namespace allows.
const (
	DefaultConnections          = 8192
	DefaultConnectionsPerScope  = 1024
	DefaultConnectionsPerSource = 64
	DefaultHeaderBytes          = 16 << 10
	DefaultBodyBytes            = 1 << 20
	DefaultNovaTimeout          = 60 * time.Second
)

func (o Options) withDefaults() Options {
	if o.NetNSDir == "" {
		o.NetNSDir = "/run/netns"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	l := &o.Limits
	for _, d := range []struct {
		value    *int
		standard int
	}{
		{&l.Connections, DefaultConnections}, {&l.ConnectionsPerScope, DefaultConnectionsPerScope},
		{&l.ConnectionsPerSource, DefaultConnectionsPerSource}, {&l.HeaderBytes, DefaultHeaderBytes},
	} {
		if *d.value == 0 {
			*d.value = d.standard
		}
	}
	if l.BodyBytes == 0 {
		l.BodyBytes = DefaultBodyBytes
	}
	return o
}
