package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"neutrino"
	"neutrino/feed/feedpb"
	"neutrino/view"
)

// ClientConfig is what a client needs to know.
type ClientConfig struct {
	Server       string   // "unix:/path" or "address:port"
	Exposure     Exposure // which addresses Server may have
	Registration neutrino.Registration
	Machine      string // identity of the state directory; "" never replaces a connection of before
	Version      string // of the program
	File         string // where the last complete view is kept; "" for nowhere
	// Accepts is set when whoever takes the views says which one is in force
	// ([Client.Accept]): the file then has that one, and not what came last.
	Accepts bool
	// Views is how many earlier views are kept beside the file, 0 for
	// [DefaultViews], below 0 for none.
	Views     int
	Heartbeat time.Duration // 0 for neutrino.AgentReportTime
}

// View is a complete view as the client hands it over. It must not be changed.
type View struct {
	Host     *view.Host
	Revision int64
	// Life is that of the store which the view is of, "" when it has no name.
	Life neutrino.ID
	// Held is what of the view is not as the store says, because the store was
	// restored and nobody has said yet that this is meant.
	Held []neutrino.Pending
	// Accepted is set on the first view after the operator has accepted the store on
	// this host: what it ends is meant to end. It is told once.
	Accepted bool
	// Causes are the requests that changed the view since the one that was taken
	// before, as far as they are known.
	Causes []string
	// Stored is set when the view is from the host's own disk, because no
	// server has answered since the start.
	Stored bool

	of holding // what it is made of
}

// ClientState is how a client is connected.
type ClientState struct {
	Connected bool
	// Problem is why not, "" at first.
	Problem string
	// Refused is set while the server answers and turns the agent away: somebody has
	// to do something about it.
	Refused bool
	// Held says why the newest view is not acted on, "" while it is.
	Held string
	// Version is that of the server's program, "" before it has said one. Lacks are
	// the attributes of rows that the server knows and this program does not.
	Version string
	Lacks   []string
	// NotUsed is why the view that the server offers is not used, "" when it is.
	NotUsed string
}

// Client is the agent's end of the feed. It reconnects for ever, and it hands
// over complete views only. All methods may be called from any goroutine.
type Client struct {
	config  ClientConfig
	changed chan struct{} // capacity 1: Latest is new
	outbox  chan struct{} // capacity 1: report is new
	unsaved chan struct{} // capacity 1: accepted is newer than the file
	lost    chan struct{} // capacity 1: the connection ended, so the file matters now
	again   chan struct{} // capacity 1: another store is followed, so another hello is due

	mu     sync.Mutex
	held   holding  // what the host has, possibly from disk
	afresh bool     // the next hello asks for the whole view
	offer  *holding // what the server offers and this host does not take
	other  otherStore
	latest View // what was handed over; Host nil for none
	state  ClientState
	report *neutrino.Report

	accepted  kept // what is in force, possibly from disk
	questions questions
}

// holding is a complete view in both its forms. It is replaced, never changed.
type holding struct {
	rows     map[view.Key]json.RawMessage // as the server wrote them, for the digest
	revision int64
	// ignorable are the rows that a program which does not know their kind may leave
	// out.
	ignorable map[view.Key]bool
	// host is what is acted on: the rows as of the revision acted. While there are
	// rows of kinds that are neither known nor ignorable, it is the last view before
	// they came, and acted is 0 when there was none.
	host    *view.Host
	acted   int64
	foreign map[view.Key]bool
	name    neutrino.StoreIdentity // of the store that it comes from
	hold    hold
}

// NewClient checks the configuration; [Client.Run] runs the client.
func NewClient(c ClientConfig) (*Client, error) {
	if err := check(c.Server, c.Exposure); err != nil {
		return nil, err
	}
	if c.Registration.Host == "" {
		return nil, errors.New("feed: the registration names no host")
	}
	if c.Heartbeat == 0 {
		c.Heartbeat = neutrino.AgentReportTime
	}
	return &Client{
		config: c, changed: make(chan struct{}, 1), outbox: make(chan struct{}, 1), unsaved: make(chan struct{}, 1),
		lost: make(chan struct{}, 1), again: make(chan struct{}, 1), questions: questions{box: make(chan struct{}, 1)},
		held: holding{host: view.New(c.Registration.Host)},
	}, nil
}

// Changed receives after Latest became another one; several changes can be one.
func (c *Client) Changed() <-chan struct{} { return c.changed }

// Latest is the newest complete view; ok is false before the first. Its causes,
// and that it was accepted, are told once.
func (c *Client) Latest() (v View, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v = c.latest
	c.latest.Causes, c.latest.Accepted = nil, false
	return v, v.Host != nil
}

// State is how the client is connected now.
func (c *Client) State() ClientState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// Report hands a report over and does not wait. Only the last one is sent, and
// it is sent again after a reconnect.
func (c *Client) Report(r neutrino.Report) {
	c.mu.Lock()
	c.report = &r
	c.mu.Unlock()
	signal(c.outbox)
}

// The times of a client. A stored view is used when the first attempt fails,
// or when no server has answered for the grace time.
const (
	backoffMin  = 50 * time.Millisecond
	backoffMax  = 5 * time.Second
	storedGrace = time.Second
)

// Run stays connected until the context ends, and then returns nil. An agent that
// the server turns away works on by the view that it has, says so, and tries
// again for ever: what the server holds against it may be over, or wrong.
func (c *Client) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var saver sync.WaitGroup
	if c.config.File != "" {
		c.loadStored(ctx)
		saver.Go(func() { c.save(ctx) })
	}
	defer saver.Wait()
	defer stop()
	grace := time.AfterFunc(storedGrace, c.offerStored)
	defer grace.Stop()
	wait := backoffMin
	for {
		err := c.connect(ctx)
		wasConnected := c.State().Connected
		c.disconnected(err)
		if ctx.Err() != nil {
			return nil
		}
		c.offerStored()
		if wasConnected {
			signal(c.lost)
			slog.Warn("feed: connection lost", "server", c.config.Server, "err", err)
			wait = backoffMin
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait/2 + rand.N(wait/2)):
		}
		wait = min(2*wait, backoffMax)
	}
}

// offerStored hands the view of the disk over, unless there is a better one.
func (c *Client) offerStored() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.latest.Host != nil || c.held.acted == 0 {
		return
	}
	slog.Info("feed: no server yet, using the stored view", "revision", c.held.acted)
	c.latest = c.held.view()
	c.latest.Stored = true
	signal(c.changed)
}

func (c *Client) disconnected(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.state.Connected = false
	c.offer = nil
	if err == nil {
		return
	}
	problem, refused := cut(status.Convert(err).Message()), turnedAway(status.Code(err))
	if problem != c.state.Problem {
		if refused {
			slog.Error("feed: turned away; working by the view that is here, and trying again", "server", c.config.Server, "reason", problem)
		} else {
			slog.Debug("feed: not connected", "server", c.config.Server, "err", err)
		}
	}
	c.state.Problem, c.state.Refused = problem, refused
}

// turnedAway reports whether a server has answered that it does not want the
// agent as it is.
func turnedAway(code codes.Code) bool {
	switch code {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.AlreadyExists, codes.PermissionDenied,
		codes.Unauthenticated, codes.ResourceExhausted, codes.Unimplemented, codes.OutOfRange:
		return true
	}
	return false
}

// connect is one connection, from the dial to its end.
func (c *Client) connect(ctx context.Context) error {
	conn, err := grpc.NewClient(target(c.config.Server),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}))
	if err != nil {
		return fmt.Errorf("feed: dial %s: %w", c.config.Server, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := feedpb.NewFeedClient(conn).Follow(ctx)
	if err != nil {
		return err
	}
	if err := c.hello(stream); err != nil {
		return err
	}
	opened := make(chan struct{})
	eg, ctx := errgroup.WithContext(ctx)
	eg.Go(func() error { return c.receive(stream, opened) })
	eg.Go(func() error { return c.send(ctx, stream, opened) })
	eg.Go(func() error {
		select {
		case <-ctx.Done():
		case <-c.again:
		}
		cancel()
		return nil
	})
	return eg.Wait()
}

func (c *Client) hello(stream feedpb.Feed_FollowClient) error {
	reg, err := json.Marshal(c.config.Registration)
	if err != nil {
		return fmt.Errorf("feed: hello: %w", err)
	}
	has, afresh := c.holds()
	h := &feedpb.Hello{
		Registration: reg, Store: string(has.name.Cluster), Life: helloLife(has),
		Version: c.config.Version, Machine: c.config.Machine, Kinds: known(),
	}
	if !afresh {
		h.Revision, h.Digest = has.revision, []byte(digest(has.list()))
	}
	return stream.Send(&feedpb.AgentMessage{Body: &feedpb.AgentMessage_Hello{Hello: h}})
}

// send sends heartbeats and the last report, once the view is complete: a
// report of before would be about another connection's view.
func (c *Client) send(ctx context.Context, stream feedpb.Feed_FollowClient, opened <-chan struct{}) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-opened:
	}
	signal(c.outbox)
	c.askAnew()
	repeat := time.NewTicker(askAgain)
	defer repeat.Stop()
	beat := time.NewTicker(c.config.Heartbeat)
	defer beat.Stop()
	for {
		var m *feedpb.AgentMessage
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.questions.box:
			m = c.question()
		case <-repeat.C:
			c.repeatQuestion()
		case <-beat.C:
			m = &feedpb.AgentMessage{Body: &feedpb.AgentMessage_Heartbeat{Heartbeat: &feedpb.Heartbeat{}}}
		case <-c.outbox:
			m = c.reportMessage()
		}
		if m == nil {
			continue
		}
		if err := stream.Send(m); err != nil {
			return nil // Recv has the reason
		}
	}
}

// reportMessage is the last report, nil for none.
func (c *Client) reportMessage() *feedpb.AgentMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.report == nil {
		return nil
	}
	r := &feedpb.Report{Revision: c.report.Revision, Life: string(c.report.Life)}
	for _, p := range c.report.Pending {
		r.Pending = append(r.Pending, &feedpb.Pending{Object: p.Object, Reason: p.Reason, Kind: string(p.Kind)})
	}
	return &feedpb.AgentMessage{Body: &feedpb.AgentMessage_Report{Report: r}}
}
