package metadata

import (
	"context"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"neutrino/host"
)

// listener is one open socket. It refuses connections beyond the limits by
// closing them at once.
type listener struct {
	net.Listener
	limits    Limits
	wanted    host.Listener
	namespace inode
	broken    chan struct{} // closed when nobody accepts any more
	counts    *counts
	resolver  resolver

	mu    sync.Mutex
	ended bool
	conns map[*conn]bool
	own   netip.AddrPort // from where we ask ourselves
}

func (l *listener) dead() bool {
	select {
	case <-l.broken:
		return true
	default:
		return false
	}
}

// Accept waits for the next connection within the limits.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &conn{Conn: raw, listener: l, source: source{scope: l.wanted.Scope, client: addressOf(raw.RemoteAddr())}}
		if l.admit(c) {
			return c, nil
		}
		_ = raw.Close() // refused
	}
}

func (l *listener) admit(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.source.own = l.own.IsValid() && l.own == plainOf(c.RemoteAddr())
	if l.ended || !c.source.own && !l.counts.take(c.source, l.limits) {
		return false
	}
	l.conns[c] = true
	return true
}

// end closes the socket and its connections.
func (l *listener) end() {
	_ = l.Listener.Close() // no more to say about it
	l.mu.Lock()
	l.ended = true
	var all []*conn
	for c := range l.conns {
		all = append(all, c)
	}
	l.mu.Unlock()
	for _, c := range all {
		_ = c.Close() // its reader sees it
	}
	l.resolver.close()
}

// conn is a connection that knows where it came in.
type conn struct {
	net.Conn
	listener *listener
	source   source
	once     sync.Once
}

// Close closes the connection and gives its place free.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.listener.mu.Lock()
		delete(c.listener.conns, c)
		c.listener.mu.Unlock()
		if !c.source.own {
			c.listener.counts.release(c.source)
		}
	})
	return c.Conn.Close()
}

// source is who asks: the scope of the socket and the client's address in it.
type source struct {
	scope  string
	client netip.Addr
	own    bool // it is we who ask: see probe
}

// counts are the connections that are open.
type counts struct {
	mu       sync.Mutex
	all      int
	byScope  map[string]int
	bySource map[source]int
}

func newCounts() *counts { return &counts{byScope: map[string]int{}, bySource: map[source]int{}} }

func (n *counts) take(s source, l Limits) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all >= l.Connections || n.byScope[s.scope] >= l.ConnectionsPerScope || n.bySource[s] >= l.ConnectionsPerSource {
		return false
	}
	n.all++
	n.byScope[s.scope]++
	n.bySource[s]++
	return true
}

func (n *counts) release(s source) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all--
	if n.byScope[s.scope]--; n.byScope[s.scope] == 0 {
		delete(n.byScope, s.scope)
	}
	if n.bySource[s]--; n.bySource[s] == 0 {
		delete(n.bySource, s)
	}
}

// addressOf is the client's address in its plain form: IPv4 that came in by an
// IPv6 socket is IPv4, and the zone, which names a device of another
// namespace, is left out.
func addressOf(a net.Addr) netip.Addr {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}
	}
	ip, _ := netip.AddrFromSlice(tcp.IP)
	return ip.Unmap()
}

// plainOf is addressOf with the port.
func plainOf(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addressOf(a), uint16(tcp.Port))
}

type connKey struct{}

// withConn lets a request know by which connection it came.
func withConn(ctx context.Context, c net.Conn) context.Context {
	own, ok := c.(*conn)
	if !ok {
		return ctx
	}
	return context.WithValue(ctx, connKey{}, own)
}

// quietLog takes what net/http says of single connections, which is what
// instances do wrong.
func quietLog(l *slog.Logger) *log.Logger { return slog.NewLogLogger(l.Handler(), slog.LevelDebug) }
