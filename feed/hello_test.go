package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"neutrino"
	"neutrino/feed/feedpb"
	"neutrino/intent"
	"neutrino/store"
)

// refusing is a cloud whose server registers hosts as the real one does. c1 is
// connected, as machine m.
func refusing(t *testing.T) (*cloud, *Client) {
	c := newCloud(t)
	svc := intent.New(c.db, intent.DefaultConfig())
	c.srv.handlers.Register = func(ctx context.Context, r neutrino.Registration) error {
		return svc.Do(ctx, intent.Caller{Admin: true}, func(tx *intent.Tx) error { return intent.Register(tx, r) })
	}
	client, _ := c.agent(ClientConfig{Registration: neutrino.Registration{
		TunnelIP: netip.MustParseAddr("192.0.2.1"), Services: []string{neutrino.AgentOVS}, StartedAt: time.Unix(1000, 0),
	}})
	at(t, client, c.db.Snapshot().Revision())
	return c, client
}

// answer is how a hello is answered: nil when the stream brings a view.
func answer(t *testing.T, c *cloud, h *feedpb.Hello) error {
	t.Helper()
	conn := dial(t, c.addr)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stream, err := feedpb.NewFeedClient(conn).Follow(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m := &feedpb.AgentMessage{Body: &feedpb.AgentMessage_Hello{Hello: h}}
	if h == nil {
		m = &feedpb.AgentMessage{Body: &feedpb.AgentMessage_Heartbeat{Heartbeat: &feedpb.Heartbeat{}}}
	}
	_ = stream.Send(m) // Recv has the reason
	_, err = stream.Recv()
	return err
}

// state is all that a hello could change.
func (c *cloud) state() string {
	var b strings.Builder
	s := c.srv
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(s.hosts)) {
		r := s.hosts[name]
		r.mu.Lock()
		fmt.Fprintf(&b, "%s: session %p, view %p at %d, rows %v\n", name, r.session, r.sent, r.revision, r.rows)
		r.mu.Unlock()
	}
	fmt.Fprintf(&b, "opening %d, store %d\n", len(s.opening), c.db.Snapshot().Revision())
	return b.String()
}

// badHellos are hellos that must be refused, by what is wrong with them.
func badHellos(t *testing.T) map[string]*feedpb.Hello {
	reg := func(change func(*neutrino.Registration)) []byte {
		r := neutrino.Registration{Host: "c9", TunnelIP: netip.MustParseAddr("192.0.2.9"), Services: []string{neutrino.AgentOVS}}
		change(&r)
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	text := func(s string) *feedpb.Hello { return &feedpb.Hello{Machine: "other", Registration: []byte(s)} }
	many := map[string]string{}
	for i := range 200_000 {
		many[fmt.Sprint("physical", i)] = "br"
	}
	out := map[string]*feedpb.Hello{
		"no hello": nil, "empty": {}, "not JSON": text("{"), "a list": text("[]"), "no name": text(`{}`), "null": text("null"),
		"invalid UTF-8":             text("{\"host\":\"c9\xff\"}"),
		"an unknown attribute":      text(`{"host":"c9","fast_path":"xdp"}`),
		"a name of 3.9 MB":          text(`{"host":"` + strings.Repeat("x", 3900<<10) + `"}`),
		"a name of 300 bytes":       text(`{"host":"` + strings.Repeat("x", 300) + `"}`),
		"a path as name":            text(`{"host":"c9/../c1"}`),
		"control characters":        text(`{"host":"c9\u0000"}`),
		"two values":                text(`{"host":"c9"}{"host":"c1"}`),
		"a living name":             text(`{"host":"c1"}`),
		"a long machine":            {Machine: strings.Repeat("m", 1<<20), Registration: []byte(`{"host":"c9"}`)},
		"a long digest":             {Digest: bytes.Repeat([]byte("m"), 1<<20), Registration: []byte(`{"host":"c9"}`)},
		"many kinds":                {Kinds: []*feedpb.Kind{{Name: "x", Attributes: slices.Repeat([]string{"attribute"}, 1<<15)}}, Registration: []byte(`{"host":"c9"}`)},
		"a living name, no machine": {Registration: []byte(`{"host":"c1"}`)},
		"an earlier start":          {Machine: "m", Registration: []byte(`{"host":"c1","started_at":"1970-01-01T00:00:01Z"}`)},
	}
	for name, change := range map[string]func(*neutrino.Registration){
		"another host's tunnel address": func(r *neutrino.Registration) { r.TunnelIP = netip.MustParseAddr("192.0.2.1") },
		"an unknown service":            func(r *neutrino.Registration) { r.Services = append(r.Services, "none") },
		"an empty mapping":              func(r *neutrino.Registration) { r.BridgeMappings = map[string]string{"": ""} },
		"200,000 mappings":              func(r *neutrino.Registration) { r.BridgeMappings = many },
	} {
		out[name] = &feedpb.Hello{Machine: "other", Registration: reg(change)}
	}
	return out
}

func TestARefusedHelloChangesNothing(t *testing.T) {
	c, client := refusing(t)
	before := c.state()
	for name, h := range badHellos(t) {
		err := answer(t, c, h)
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		if code := status.Code(err); code == codes.Unavailable || code == codes.Internal || code == codes.Unknown {
			t.Errorf("%s: refused as %v: %.200v", name, code, err)
		}
		if len(status.Convert(err).Message()) > 2*maxReason {
			t.Errorf("%s: the reason has %d bytes", name, len(err.Error()))
		}
		if after := c.state(); after != before {
			t.Fatalf("%s: the server was\n%sand is\n%s", name, before, after)
		}
	}
	if !client.State().Connected {
		t.Error("the living agent was thrown out")
	}
	at(t, client, c.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p2", 2)) }))
}

// A refusal by the store, too, comes before anything of the host is touched.
func TestAHostIsRegisteredBeforeItIsAttached(t *testing.T) {
	c, client := refusing(t)
	register := c.srv.handlers.Register
	c.srv.handlers.Register = func(context.Context, neutrino.Registration) error { return fmt.Errorf("the disk is full") }
	before := c.state()
	err := answer(t, c, &feedpb.Hello{Machine: "m", Registration: []byte(`{"host":"c1","started_at":"2020-01-01T00:00:00Z"}`)})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("answered %v", err)
	}
	if after := c.state(); after != before || !client.State().Connected {
		t.Errorf("the server was\n%sand is\n%s", before, after)
	}
	c.srv.handlers.Register = register
	if err := answer(t, c, &feedpb.Hello{Machine: "m", Registration: []byte(`{"host":"c1","started_at":"2020-01-01T00:00:00Z"}`)}); err != nil {
		t.Errorf("the machine itself was refused: %v", err)
	}
}

func TestAConnectedHostIsNotThrownOut(t *testing.T) {
	c := newCloud(t)
	first, stopFirst := c.agent(ClientConfig{Machine: "first"})
	at(t, first, c.db.Snapshot().Revision())
	second, _ := c.agent(ClientConfig{Machine: "second"})
	eventually(t, "the second is turned away", func() bool { return second.State().Refused })
	for n := range byte(5) { // it goes on trying, and the first does not notice
		at(t, first, c.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p2", n)) }))
	}
	if problem := second.State().Problem; !strings.Contains(problem, "host c1 is connected as machine first") || !strings.Contains(problem, "[DEFAULT] host") {
		t.Errorf("the reason is %q", problem)
	}
	if err := stopFirst(); err != nil {
		t.Errorf("the first ended with %v", err)
	}
	at(t, second, c.db.Snapshot().Revision()) // it was never too late
}

// An agent that was started again does not wait until the server notices that
// its connection of before is dead.
func TestAMachineReplacesItself(t *testing.T) {
	c := newCloud(t)
	old, _ := raw(t, c, &feedpb.Hello{Machine: "m", Registration: []byte(`{"host":"c1","started_at":"2026-01-01T00:00:00Z"}`)})
	next(t, old)
	again, _ := c.agent(ClientConfig{Machine: "m", Registration: neutrino.Registration{StartedAt: time.Date(2026, 1, 1, 0, 0, 1, 0, time.UTC)}})
	at(t, again, c.db.Snapshot().Revision())
	eventually(t, "one session", func() bool { return c.srv.Connected() == 1 })
}

// Streams that say nothing are ended, and while they wait others get in.
func TestSilentStreamsDoNotShutAgentsOut(t *testing.T) {
	c := newCloud(t)
	c.srv.door.time = 200 * time.Millisecond
	conn := dial(t, c.addr)
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var silent sync.WaitGroup
	for range 4 * maxListening {
		stream, err := feedpb.NewFeedClient(conn).Follow(ctx)
		if err != nil {
			t.Fatal(err)
		}
		silent.Go(func() {
			if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded && status.Code(err) != codes.Unavailable {
				t.Errorf("a silent stream ended with %v", err)
			}
		})
	}
	client, _ := c.agent(ClientConfig{})
	at(t, client, c.db.Snapshot().Revision())
	silent.Wait()
	cancel()
	eventually(t, "nothing is kept of them", func() bool {
		c.srv.door.mu.Lock()
		defer c.srv.door.mu.Unlock()
		return c.srv.door.waiting == 0 && len(c.srv.door.sources) == 0 && len(c.srv.door.room) == 0
	})
}

func TestRefusedHellosCostNeitherMemoryNorLog(t *testing.T) {
	c, client := refusing(t)
	var log syncBuffer
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(was)
	name := strings.Repeat("x", 1900<<10)
	huge := &feedpb.Hello{Machine: name, Registration: []byte(`{"host":"c1","tunneling_ip":"` + name + `"}`)}
	heap := heapSize()
	for range 25 {
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if err := answer(t, c, huge); err == nil {
					t.Error("accepted")
				}
			})
		}
		all.Wait()
	}
	if grown := heapSize() - heap; grown > 32<<20 {
		t.Errorf("100 refused hellos keep %d MB", grown>>20)
	}
	if n := log.Len(); n > 16<<10 {
		t.Errorf("100 refused hellos wrote %d bytes of log", n)
	}
	if !strings.Contains(log.String(), "agent refused") {
		t.Errorf("nothing is said of them: %s", log.String())
	}
	if !client.State().Connected {
		t.Error("the living agent was thrown out")
	}
}

func heapSize() int64 {
	runtime.GC()
	runtime.GC() // pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Len()
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}
