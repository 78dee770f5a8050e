package feed

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"neutrino"
	"neutrino/feed/feedpb"
	"neutrino/store"
	"neutrino/store/storetest"
	"neutrino/view"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cloud is a store and, while it runs, a server on a unix socket.
type cloud struct {
	t    *testing.T
	db   *store.DB
	addr string
	stop func()
	srv  *Server

	mu            sync.Mutex
	registrations []neutrino.Registration
	beats         time.Duration // 0 for the server's own
	heartbeats    int
	reports       []neutrino.Report
	settled       map[neutrino.ID]bool // of port p1 and p2, at the last report
	reportErr     error
	heard         func(host string)
	hang          chan struct{} // reports are not taken in before it is closed; nil for at once
}

func newCloud(t *testing.T) *cloud {
	db := storetest.Open(t)
	c := &cloud{t: t, db: db, addr: "unix:" + filepath.Join(t.TempDir(), "feed.sock")}
	t.Cleanup(func() { c.down() })
	c.write(func(tx *store.Tx) {
		store.Put(tx, store.Networks, &neutrino.Network{ID: "n", NetworkType: neutrino.GRE})
		store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: "c1", NetworkID: "n", LocalVLAN: 1})
		store.Put(tx, store.Ports, vm("p1", 1))
	})
	c.up()
	return c
}

func vm(id neutrino.ID, n byte) *neutrino.Port {
	return &neutrino.Port{ID: id, NetworkID: "n", HostID: "c1", MAC: neutrino.MAC{2, 0, 0, 0, 0, n}}
}

func (c *cloud) write(f func(*store.Tx)) store.Revision {
	c.t.Helper()
	rev, err := c.db.Update(c.t.Context(), func(tx *store.Tx) error { f(tx); return nil })
	if err != nil {
		c.t.Fatal(err)
	}
	return rev
}

func (c *cloud) up() {
	ln, err := Listen(c.t.Context(), c.addr, Local)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := NewServer(c.db, Handlers{Register: c.register, Heartbeat: c.heartbeat, Report: c.report, BeatInterval: c.beats, Heard: c.heard})
	c.srv = s
	go func() { done <- s.Serve(ctx, ln) }()
	c.stop = func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Errorf("serve: %v", err)
		}
	}
}

func (c *cloud) down() {
	if c.stop != nil {
		c.stop()
		c.stop = nil
	}
}

func (c *cloud) register(_ context.Context, r neutrino.Registration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.registrations = append(c.registrations, r)
	return nil
}

func (c *cloud) heartbeat(context.Context, string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heartbeats++
	return nil
}

func (c *cloud) report(_ context.Context, r neutrino.Report, settled func(neutrino.ID) bool) error {
	if c.hang != nil {
		<-c.hang
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reportErr != nil {
		return c.reportErr
	}
	c.reports = append(c.reports, r)
	c.settled = map[neutrino.ID]bool{"p1": settled("p1"), "p2": settled("p2")}
	return nil
}

// agent runs a client until the returned function is called, which gives
// Run's error.
func (c *cloud) agent(cc ClientConfig) (*Client, func() error) {
	cc.Server, cc.Registration.Host, cc.Machine = c.addr, "c1", cmp.Or(cc.Machine, "m")
	client, err := NewClient(cc)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- client.Run(ctx) }()
	stop := sync.OnceValue(func() error { cancel(); return <-done })
	c.t.Cleanup(func() { stop() })
	return client, stop
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// at waits until the client has the view of the revision, complete.
func at(t *testing.T, c *Client, rev int64) View {
	t.Helper()
	var v View
	eventually(t, "view at revision", func() bool {
		v, _ = c.Latest()
		return v.Revision >= rev && c.State().Connected
	})
	return v
}

func same(t *testing.T, c *cloud, v View) {
	t.Helper()
	if want := view.Text(view.For(c.db.Snapshot(), "c1")); view.Text(v.Host) != want {
		t.Errorf("agent holds\n%s\nwant\n%s", view.Text(v.Host), want)
	}
}

func TestAnAgentGetsItsViewAndThenEachChange(t *testing.T) {
	c := newCloud(t)
	client, _ := c.agent(ClientConfig{})
	same(t, c, at(t, client, c.db.Snapshot().Revision()))
	rev := c.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p2", 2)) })
	v := at(t, client, rev)
	same(t, c, v)
	rev = c.write(func(tx *store.Tx) { store.Delete(tx, store.Ports, "p1") })
	if w := at(t, client, rev); len(w.Host.Ports) != 1 || len(v.Host.Ports) != 2 {
		t.Errorf("after the delete: %d ports, and the view before it has %d now", len(w.Host.Ports), len(v.Host.Ports))
	}
}

// raw is an agent that shows each message.
func raw(t *testing.T, c *cloud, h *feedpb.Hello) (<-chan *feedpb.View, feedpb.Feed_FollowClient) {
	if h.Machine == "" {
		h.Machine = "m"
	}
	conn := dial(t, c.addr)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := feedpb.NewFeedClient(conn).Follow(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&feedpb.AgentMessage{Body: &feedpb.AgentMessage_Hello{Hello: h}}); err != nil {
		t.Fatal(err)
	}
	out, done := make(chan *feedpb.View, 100), make(chan struct{})
	go func() {
		defer close(done)
		for {
			v, err := stream.Recv()
			if err != nil {
				return
			}
			out <- v
		}
	}()
	t.Cleanup(func() { cancel(); conn.Close(); <-done })
	return out, stream
}

func next(t *testing.T, views <-chan *feedpb.View) *feedpb.View {
	t.Helper()
	select {
	case v := <-views:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("no message")
		return nil
	}
}

func TestOneChangeIsOneMessageToWhomItConcernsAndNoneToOthers(t *testing.T) {
	c := newCloud(t)
	mine, _ := raw(t, c, &feedpb.Hello{Registration: []byte(`{"host":"c1"}`)})
	others, _ := raw(t, c, &feedpb.Hello{Registration: []byte(`{"host":"c2"}`)})
	if m := next(t, mine); !m.GetFull() || !m.GetComplete() || len(m.GetPuts()) != 2 {
		t.Fatalf("first message %v", m)
	}
	if m := next(t, others); !m.GetFull() || !m.GetComplete() || len(m.GetPuts()) != 0 {
		t.Fatalf("first message to c2 %v", m)
	}
	active := vm("p1", 1)
	active.Status = neutrino.PortActive
	c.write(func(tx *store.Tx) { store.Put(tx, store.Ports, active) })
	rev := c.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p2", 2)) })
	if m := next(t, mine); m.GetFull() || !m.GetComplete() || len(m.GetPuts()) != 1 || m.GetRevision() != rev {
		t.Fatalf("message %v, want one row at %d", m, rev)
	}
	// What comes later is seen to come, so nothing came before it.
	c.write(func(tx *store.Tx) {
		store.Put(tx, store.HostNetworks, &neutrino.HostNetwork{Host: "c2", NetworkID: "n", LocalVLAN: 5})
	})
	if m := next(t, others); len(m.GetPuts()) != 3 {
		t.Fatalf("c2 got %v, want its network and two neighbours", m)
	}
	if len(mine) != 0 {
		t.Fatalf("c1 got another message: %v", next(t, mine))
	}
}

func TestAnAgentThatIsCurrentGetsOnlyTheMark(t *testing.T) {
	c := newCloud(t)
	rev := c.db.Snapshot().Revision()
	d := []byte(digest(view.Rows(view.For(c.db.Snapshot(), "c1"))))
	views, _ := raw(t, c, &feedpb.Hello{Registration: []byte(`{"host":"c1"}`), Revision: rev, Digest: d})
	if m := next(t, views); m.GetFull() || !m.GetComplete() || len(m.GetPuts())+len(m.GetDrops()) != 0 {
		t.Fatalf("answer %v", m)
	}
	// Something changes while the agent is away; the server still knows what it had.
	c.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p2", 2)) })
	next(t, views)
	back, _ := raw(t, c, &feedpb.Hello{Registration: []byte(`{"host":"c1"}`), Revision: rev, Digest: d})
	if m := next(t, back); !m.GetFull() {
		t.Fatalf("an agent with an older view than was sent got %v", m)
	}
}

func TestAfterAPauseTheServerSendsWhatChangedSince(t *testing.T) {
	c := newCloud(t)
	client, stop := c.agent(ClientConfig{})
	v := at(t, client, c.db.Snapshot().Revision())
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	d := []byte(digest(view.Rows(v.Host)))
	eventually(t, "the server noticed", func() bool {
		c.srv.mu.Lock()
		defer c.srv.mu.Unlock()
		return c.srv.hosts["c1"].current(nil)
	})
	c.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p2", 2)); store.Delete(tx, store.Ports, "p1") })
	views, _ := raw(t, c, &feedpb.Hello{Registration: []byte(`{"host":"c1"}`), Revision: v.Revision, Digest: d})
	if m := next(t, views); m.GetFull() || len(m.GetPuts()) != 1 || len(m.GetDrops()) != 1 || !m.GetComplete() {
		t.Fatalf("answer %v, want one put and one drop", m)
	}
}

func TestAServerRestartRebuildsNothing(t *testing.T) {
	c := newCloud(t)
	client, _ := c.agent(ClientConfig{})
	before := at(t, client, c.db.Snapshot().Revision())
	c.down()
	eventually(t, "disconnected", func() bool { return !client.State().Connected })
	if v, ok := client.Latest(); !ok || v.Host != before.Host {
		t.Fatal("the view went with the server")
	}
	c.up()
	eventually(t, "connected again", func() bool { return client.State().Connected })
	if v, _ := client.Latest(); v.Host != before.Host {
		t.Error("the view was rebuilt though nothing changed")
	}
	c.down()
	rev := c.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p2", 2)) })
	c.up()
	same(t, c, at(t, client, rev))
}

func TestAViewThatIsTooBigForOneMessageComesInPieces(t *testing.T) {
	c := newCloud(t)
	rev := c.write(func(tx *store.Tx) {
		for i := range 40 {
			p := vm(neutrino.ID("big"+string(rune('A'+i))), byte(i))
			p.ExtraDHCPOpts = []neutrino.DHCPOption{{Name: "x", Value: strings.Repeat("v", 200_000)}}
			store.Put(tx, store.Ports, p)
		}
	})
	client, _ := c.agent(ClientConfig{})
	same(t, c, at(t, client, rev))
}

// halfServer sends half a view and hangs up, for ever.
type halfServer struct {
	feedpb.UnimplementedFeedServer
	mu    sync.Mutex
	tries int
}

func (h *halfServer) Follow(s feedpb.Feed_FollowServer) error {
	h.mu.Lock()
	h.tries++
	h.mu.Unlock()
	if _, err := s.Recv(); err != nil {
		return err
	}
	row := &feedpb.Row{Kind: "network", Id: "n", Value: []byte(`{"id":"n"}`)}
	return s.Send(&feedpb.View{Full: true, Puts: []*feedpb.Row{row}})
}

func TestHalfAViewIsNeverHandedOver(t *testing.T) {
	addr := "unix:" + filepath.Join(t.TempDir(), "half.sock")
	h := &halfServer{}
	serveRaw(t, addr, h)
	c := &cloud{t: t, addr: addr}
	client, _ := c.agent(ClientConfig{})
	eventually(t, "three attempts", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.tries >= 3 })
	if v, ok := client.Latest(); ok {
		t.Errorf("handed over: %s", view.Text(v.Host))
	}
}

func TestWithoutAServerTheViewOfTheDiskIsUsed(t *testing.T) {
	c := newCloud(t)
	file := filepath.Join(t.TempDir(), "state", "view")
	client, stop := c.agent(ClientConfig{File: file})
	before := at(t, client, c.db.Snapshot().Revision())
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	c.down()
	again, stop := c.agent(ClientConfig{File: file})
	eventually(t, "stored view", func() bool { _, ok := again.Latest(); return ok })
	if v, _ := again.Latest(); !v.Stored || v.Revision != before.Revision || view.Text(v.Host) != view.Text(before.Host) {
		t.Errorf("stored view %+v", v)
	}
	// The server comes back, and what was read from disk is still current.
	stored, _ := again.Latest()
	c.up()
	if v := at(t, again, before.Revision); v.Stored || v.Host != stored.Host {
		t.Errorf("after the server's return: %+v", v)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedFileIsNotUsed(t *testing.T) {
	c := newCloud(t)
	file := filepath.Join(t.TempDir(), "view")
	client, stop := c.agent(ClientConfig{File: file})
	at(t, client, c.db.Snapshot().Revision())
	stop()
	c.down()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string]string{
		"cut":   string(b[:len(b)-9]),
		"empty": "",
		"bit":   strings.Replace(string(b), `"p1"`, `"p7"`, 1),
	} {
		if err := os.WriteFile(file, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := load(t.Context(), file, "c1"); err == nil {
			t.Errorf("%s: the file was taken", name)
		}
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(t.Context(), file, "c9"); err == nil {
		t.Error("another host's file was taken")
	}
	if h := StoredHost(t.Context(), file); h != "c1" {
		t.Errorf("the file is said to be of host %q", h)
	}
	if h, err := load(t.Context(), file, "c1"); err != nil || len(h.host.Ports) != 1 {
		t.Errorf("the undamaged file: %v", err)
	}
	os.WriteFile(file, []byte("rubbish"), 0o600)
	c.up()
	client, _ = c.agent(ClientConfig{File: file})
	same(t, c, at(t, client, c.db.Snapshot().Revision()))
}

func TestAReportSettlesThePortsThatTheHostHadThen(t *testing.T) {
	c := newCloud(t)
	client, _ := c.agent(ClientConfig{})
	first := at(t, client, c.db.Snapshot().Revision())
	second := at(t, client, c.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p2", 2)) }))
	reported := func(n int) map[neutrino.ID]bool {
		eventually(t, "report", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.reports) >= n })
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.settled
	}
	client.Report(neutrino.Report{Revision: first.Revision, Pending: []neutrino.Pending{{Object: "port/p2", Reason: "no"}}})
	if s := reported(1); !s["p1"] || s["p2"] {
		t.Errorf("at the first revision: %v", s)
	}
	client.Report(neutrino.Report{Revision: second.Revision})
	if s := reported(2); !s["p1"] || !s["p2"] {
		t.Errorf("at the second revision: %v", s)
	}
	client.Report(neutrino.Report{Revision: second.Revision + 1000})
	if s := reported(3); s["p1"] || s["p2"] {
		t.Errorf("a revision that was never sent settles %v", s)
	}
	if r := c.reports[0]; r.Host != "c1" || len(r.Pending) != 1 {
		t.Errorf("first report %+v", r)
	}
}

// A port that may move here is reported on before it does, and again when it has.
func TestAReportSettlesThePortsThatMayMoveHere(t *testing.T) {
	c := newCloud(t)
	client, _ := c.agent(ClientConfig{})
	at(t, client, c.db.Snapshot().Revision())
	coming := vm("p2", 2)
	coming.HostID, coming.Standby = "c2", []neutrino.PortBinding{{Host: "c1"}}
	prepared := at(t, client, c.write(func(tx *store.Tx) { store.Put(tx, store.Ports, coming) }))
	settled := func(n int) bool {
		eventually(t, "report", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.reports) >= n })
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.settled["p2"]
	}
	client.Report(neutrino.Report{Revision: prepared.Revision})
	if !settled(1) {
		t.Error("the host has what it needs for p2, and that is not known")
	}
	moved := at(t, client, c.write(func(tx *store.Tx) { store.Put(tx, store.Ports, vm("p2", 2)) }))
	client.Report(neutrino.Report{Revision: prepared.Revision})
	if settled(2) {
		t.Error("a report from before the move settles p2")
	}
	client.Report(neutrino.Report{Revision: moved.Revision})
	if !settled(3) {
		t.Error("p2 has moved, and that is not known")
	}
}

func TestAReportIsHandedInAgainAfterAFailureAndAfterARestart(t *testing.T) {
	c := newCloud(t)
	c.reportErr = errors.New("the store is away")
	client, _ := c.agent(ClientConfig{})
	v := at(t, client, c.db.Snapshot().Revision())
	client.Report(neutrino.Report{Revision: v.Revision})
	c.mu.Lock()
	c.reportErr = nil
	c.mu.Unlock()
	count := func() int { c.mu.Lock(); defer c.mu.Unlock(); return len(c.reports) }
	eventually(t, "report after a failure", func() bool { return count() == 1 })
	c.down()
	c.up()
	eventually(t, "report after a restart", func() bool { return count() == 2 })
	if !c.settled["p1"] {
		t.Error("the restarted server does not know the port as settled")
	}
}

func TestHeartbeatsBringTheLastReportAndAreWrittenSeldom(t *testing.T) {
	c := newCloud(t)
	client, _ := c.agent(ClientConfig{Heartbeat: 5 * time.Millisecond})
	v := at(t, client, c.db.Snapshot().Revision())
	client.Report(neutrino.Report{Revision: v.Revision})
	eventually(t, "the report is audited", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.reports) > 3 })
	if c.heartbeats != 0 {
		t.Errorf("%d heartbeats written within a report interval of the registration", c.heartbeats)
	}
}

func TestHeartbeatsAreWrittenAsOftenAsTheServerWants(t *testing.T) {
	c := newCloud(t)
	c.down()
	c.beats = 10 * time.Millisecond
	c.up()
	client, _ := c.agent(ClientConfig{Heartbeat: 5 * time.Millisecond})
	at(t, client, c.db.Snapshot().Revision())
	eventually(t, "heartbeats", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.heartbeats > 3 })
}

// A store that hangs holds the handlers up, and not what is known of a host's life.
func TestAHostIsHeardWhileAHandlerHangs(t *testing.T) {
	c := newCloud(t)
	c.down()
	var words atomic.Int64
	c.hang, c.heard = make(chan struct{}), func(host string) {
		if host == "c1" {
			words.Add(1)
		}
	}
	c.up()
	client, _ := c.agent(ClientConfig{Heartbeat: 5 * time.Millisecond})
	v := at(t, client, c.db.Snapshot().Revision())
	client.Report(neutrino.Report{Revision: v.Revision})
	eventually(t, "words of the host", func() bool { return words.Load() > 20 })
	close(c.hang)
	eventually(t, "the report", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.reports) > 0 })
}

func TestAddresses(t *testing.T) {
	for _, a := range []string{"0.0.0.0:9697", "192.0.2.1:9697", "example.org:1", ":9697", "unix:", "9697"} {
		if _, err := Listen(t.Context(), a, Local); err == nil {
			t.Errorf("%s was listened on", a)
		}
		if _, err := NewClient(ClientConfig{Server: a, Registration: neutrino.Registration{Host: "c1"}}); err == nil {
			t.Errorf("%s was accepted by the client", a)
		}
	}
	for _, a := range []string{"127.0.0.1:0", "[::1]:0", "localhost:0"} {
		if err := check(a, Local); err != nil {
			t.Error(err)
		}
	}
	if err := check("192.0.2.1:1", Anywhere); err != nil {
		t.Error(err)
	}
	stale := filepath.Join(t.TempDir(), "s")
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), "unix:"+stale, Local); err == nil {
		t.Error("a socket in use was taken over")
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
	again, err := Listen(t.Context(), "unix:"+stale, Local)
	if err != nil {
		t.Fatalf("a stale socket: %v", err)
	}
	again.Close()
}

func TestARegistrationTravels(t *testing.T) {
	c := newCloud(t)
	ip := netip.MustParseAddr("192.0.2.9")
	client, _ := c.agent(ClientConfig{Registration: neutrino.Registration{TunnelIP: ip, Services: []string{neutrino.AgentOVS}}})
	at(t, client, c.db.Snapshot().Revision())
	if r := c.registrations[0]; r.Host != "c1" || r.TunnelIP != ip || len(r.Services) != 1 {
		t.Errorf("registered %+v", r)
	}
}
