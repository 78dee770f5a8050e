package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"neutrino"
	"neutrino/feed/departure"
	"neutrino/feed/feedpb"
	"neutrino/store"
	"neutrino/view"
)

// Handlers are what the server does with what the agents say. They are called
// from many streams at once, but for one stream one after the other.
type Handlers struct {
	// Version is that of the server's program, which agents are told.
	Version string
	// Heard is called with the host of each message of a registered agent, at once:
	// also while another handler of the stream has not returned. nil is nobody.
	Heard func(host string)
	// Register is called when an agent connects, before it has the host; it counts
	// as a heartbeat. An error refuses the stream.
	Register func(ctx context.Context, r neutrino.Registration) error
	// Heartbeat is called at most once in each BeatInterval.
	Heartbeat func(ctx context.Context, host string) error
	// BeatInterval is 0 for neutrino.AgentReportTime. It has to be well below the
	// time after which an agent counts as dead.
	BeatInterval time.Duration
	// Report is called with each report, and again with the last one after an
	// error and with each heartbeat, so that a status is audited and not only
	// event-driven. settled says of a port or a floating IP that the host had
	// its present row when it reported.
	Report func(ctx context.Context, r neutrino.Report, settled func(id neutrino.ID) bool) error
}

// Server feeds the hosts out of a store.
type Server struct {
	db       *store.DB
	handlers Handlers
	door     *reception
	refusals refusals
	departed *departure.Log
	mu       sync.Mutex
	hosts    map[string]*record
	opening  map[string]*opening // by host
}

// NewServer makes a server; [Server.Serve] runs it.
func NewServer(db *store.DB, h Handlers) *Server {
	if h.BeatInterval == 0 {
		h.BeatInterval = neutrino.AgentReportTime
	}
	return &Server{db: db, handlers: h, departed: departure.NewLog(db), door: newReception(), hosts: map[string]*record{}, opening: map[string]*opening{}}
}

// How dead connections are found. A unix socket says so by itself; this is
// for TCP.
const (
	keepaliveTime    = 15 * time.Second
	keepaliveTimeout = 10 * time.Second
)

// Serve serves until the context ends, and then returns nil; streams end with
// it. It closes the listener. A server serves once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	g := grpc.NewServer(
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveTime / 3, PermitWithoutStream: true}))
	feedpb.RegisterFeedServer(g, &service{Server: s})
	eg, ctx := errgroup.WithContext(ctx)
	eg.Go(func() error { return s.watch(ctx) })
	eg.Go(func() error {
		<-ctx.Done()
		g.Stop()
		return nil
	})
	eg.Go(func() error {
		if err := g.Serve(ln); err != nil && ctx.Err() == nil {
			return fmt.Errorf("feed: serve: %w", err)
		}
		return nil
	})
	return eg.Wait()
}

// watch wakes the streams of the hosts that each change touches.
func (s *Server) watch(ctx context.Context) error {
	for {
		from := s.db.Snapshot().Revision() + 1
		s.departed.Restart(from)
		// What happened before the watch began is found by looking.
		s.wakeAll()
		err := s.follow(ctx, from)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, store.ErrListAgain):
			slog.Info("feed: behind the store, looking at every host")
		default:
			return fmt.Errorf("feed: %w", err)
		}
	}
}

func (s *Server) follow(ctx context.Context, from store.Revision) error {
	for b, err := range s.db.Watch(ctx, from) {
		if err != nil {
			return err
		}
		s.departed.Note(b)
		s.wake(view.Touched(s.db.Snapshot(), b.Changes), b.Cause)
	}
	return ctx.Err()
}

func (s *Server) wakeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.hosts {
		r.wake("")
	}
}

func (s *Server) wake(touched map[string]bool, cause string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range touched {
		if r, ok := s.hosts[name]; ok {
			r.wake(cause)
		}
	}
}

// attach makes a session the one of its host and ends the session before it.
func (s *Server) attach(host string, ses *session) *record {
	s.mu.Lock()
	r, ok := s.hosts[host]
	if !ok {
		r = &record{host: host}
		s.hosts[host] = r
	}
	s.mu.Unlock()
	r.attach(ses)
	return r
}

type service struct {
	feedpb.UnimplementedFeedServer
	*Server
}

// Follow is one stream: the agent's hello, then views down and reports up.
func (s *service) Follow(stream feedpb.Feed_FollowServer) error {
	hello, err := s.door.listen(stream)
	if err != nil {
		s.refusals.log(sourceOf(stream.Context()), err)
		return err
	}
	ses := newSession(hello)
	rec, err := s.admit(stream.Context(), hello, ses)
	if err != nil {
		s.refusals.log(sourceOf(stream.Context()), err)
		return err
	}
	defer rec.detach(ses)
	log := slog.With("host", hello.reg.Host)
	log.Info("feed: agent connected", "revision", hello.held.revision, "version", hello.version)
	if len(hello.reg.Lacks) > 0 {
		log.Warn("feed: the agent is older and will refuse objects that have what it does not know; upgrade it", "version", hello.version, "unknown", cut(strings.Join(hello.reg.Lacks, ", ")))
	}
	eg, ctx := errgroup.WithContext(stream.Context())
	f := &follower{Server: s.Server, stream: stream, rec: rec, ses: ses, log: log}
	eg.Go(func() error { return f.send(ctx) })
	eg.Go(func() error { return f.handle(ctx) })
	// Recv ends when this function returns, so it is not waited for.
	received := make(chan error, 1)
	go func() { received <- f.receive() }()
	eg.Go(func() error {
		select {
		case err := <-received:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	err = eg.Wait()
	log.Info("feed: agent left", "err", err)
	return err
}

// Connected is the number of hosts whose agent has a stream now.
func (s *Server) Connected() int {
	here, _ := s.count()
	return here
}

// Apart is how many of the connected hosts hold the view of another store and do not
// take this one's.
func (s *Server) Apart() int {
	_, apart := s.count()
	return apart
}

func (s *Server) count() (here, apart int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.hosts {
		connected, another := r.connected()
		if connected {
			here++
		}
		if another {
			apart++
		}
	}
	return here, apart
}

// Check is an error while most of the connected hosts hold the view of another
// store than this server has: then it is probably this one that is wrong.
func (s *Server) Check() error {
	here, apart := s.count()
	if 2*apart <= here {
		return nil
	}
	at := s.db.Snapshot().Position()
	return fmt.Errorf("%d of %d connected hosts hold the view of another store than this one (cluster %s, life %s, revision %d) and do not take it: "+
		"is this the right database? Otherwise restore a backup with neutrino restore FILE", apart, here, at.Cluster, at.Life, at.Revision)
}
