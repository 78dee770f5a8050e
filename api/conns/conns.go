// Package conns keeps the API's connections within the descriptors that it has, so
// that the store, the feed and Nova find theirs whatever clients do. When there are
// too many, the one goes that has kept the server waiting longest.
package conns

import (
	"container/list"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// Keeper knows the connections of the API.
//
// A connection waits while the server wants something from its client: the next
// request, the rest of a header, the rest of a body. Such a one can be closed for a
// newcomer; one whose request is being answered cannot. Of those that wait, the
// source with the most connections loses the one that has waited longest: who opens
// many closes their own.
type Keeper struct {
	limit int
	log   *slog.Logger

	mu      sync.Mutex
	free    *sync.Cond // somebody may have gone
	open    int
	sources map[string]*source
	closed  int       // for a newcomer
	said    time.Time // that connections are closed
}

// source is the connections of one address.
type source struct {
	open    int
	waiting *list.List // of *conn, who has waited longest in front
}

// NewKeeper makes a keeper of so many connections.
func NewKeeper(limit int, log *slog.Logger) *Keeper {
	k := &Keeper{limit: limit, log: log, sources: map[string]*source{}}
	k.free = sync.NewCond(&k.mu)
	return k
}

// Source is whom an address stands for: an IPv4 address, or the /64 of an IPv6
// one, which a single client has all of.
func Source(address string) string {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return address
	}
	ip := a.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.Prefix(64)
	if err != nil {
		return ip.String()
	}
	return prefix.String()
}

// Listener hands out connections of ln within the limit.
func (k *Keeper) Listener(ln net.Listener) net.Listener { return &listener{ln, k} }

type listener struct {
	net.Listener
	keeper *Keeper
}

// Accept gives the next connection. Where there are too many it closes another, and
// waits while all of them are being answered.
func (l *listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.keeper.admit(accepted), nil
}

// conn is one connection. What it has of a source's list says whether it waits.
type conn struct {
	net.Conn
	keeper *Keeper
	source string
	place  *list.Element // among those that wait; nil while it is answered
	gone   bool
}

// admit makes room and adds the connection.
func (k *Keeper) admit(accepted net.Conn) *conn {
	c := &conn{Conn: accepted, keeper: k, source: Source(accepted.RemoteAddr().String())}
	k.mu.Lock()
	for k.open >= k.limit {
		victim := k.victim()
		if victim == nil {
			k.free.Wait()
			continue
		}
		k.forget(victim)
		k.closed++
		k.mu.Unlock()
		_ = victim.Conn.Close() // it has gone for us in any case
		k.mu.Lock()
	}
	defer k.mu.Unlock()
	k.open++
	s := k.sources[c.source]
	if s == nil {
		s = &source{waiting: list.New()}
		k.sources[c.source] = s
	}
	s.open++
	c.place = s.waiting.PushBack(c)
	k.report()
	return c
}

// victim is the connection that goes next, nil for none.
func (k *Keeper) victim() *conn {
	var most *source
	for _, s := range k.sources {
		if s.waiting.Len() > 0 && (most == nil || s.open > most.open) {
			most = s
		}
	}
	if most == nil {
		return nil
	}
	return most.waiting.Front().Value.(*conn)
}

// sayEvery is how often at most the log says that connections are closed.
const sayEvery = 10 * time.Second

func (k *Keeper) report() {
	if k.closed == 0 || time.Since(k.said) < sayEvery {
		return
	}
	k.log.Warn("API: closed connections that waited, to make room for others; raise the limit of open files (LimitNOFILE) if they are wanted",
		"closed", k.closed, "limit", k.limit)
	k.said, k.closed = time.Now(), 0
}

// forget drops a connection.
func (k *Keeper) forget(c *conn) {
	if c.gone {
		return
	}
	c.gone = true
	s := k.sources[c.source]
	if c.place != nil {
		s.waiting.Remove(c.place)
		c.place = nil
	}
	k.open--
	if s.open--; s.open == 0 {
		delete(k.sources, c.source)
	}
	k.free.Signal()
}

// Close closes the connection and makes room.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.keeper.mu.Lock()
	defer c.keeper.mu.Unlock()
	c.keeper.forget(c)
	return err
}

// waits notes whether the connection's client is waited for.
func (c *conn) waits(yes bool) {
	k := c.keeper
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.gone || yes == (c.place != nil) {
		return
	}
	s := k.sources[c.source]
	if yes {
		c.place = s.waiting.PushBack(c)
		k.free.Signal() // it may go
		return
	}
	s.waiting.Remove(c.place)
	c.place = nil
}

// connKey is the context's key of the connection.
type connKey struct{}

// Serve makes a server note which of its connections are being answered.
func (k *Keeper) Serve(server *http.Server) {
	next, before := server.Handler, server.ConnContext
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if before != nil {
			ctx = before(ctx, c)
		}
		return context.WithValue(ctx, connKey{}, c)
	}
	server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, ok := r.Context().Value(connKey{}).(*conn); ok {
			c.waits(false)
			defer c.waits(true)
		}
		next.ServeHTTP(w, r)
	})
}

// Waits notes that the client of the request is waited for, until the function that
// it returns is called.
func Waits(ctx context.Context) (over func()) {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return func() {}
	}
	c.waits(true)
	return func() { c.waits(false) }
}

// Open is how many connections there are.
func (k *Keeper) Open() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.open
}
