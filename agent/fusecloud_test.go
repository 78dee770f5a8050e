package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"neutrino"
	"neutrino/api"
	"neutrino/feed"
	"neutrino/host/hosttest"
	"neutrino/intent"
	"neutrino/store"
	"neutrino/store/engine/sqlite"
	"neutrino/view/fuse"
)

// site is a server with its API and its feed, and agents on fake hosts.
type site struct {
	*testing.T
	dir  string
	api  http.Handler
	db   *store.DB
	svc  *intent.Service
	stop func() // the server
}

func newSite(t *testing.T) *site {
	s := &site{T: t, dir: t.TempDir()}
	t.Cleanup(func() { s.down() })
	s.up()
	return s
}

// up starts the server on the store that is there.
func (s *site) up() {
	s.Helper()
	e, err := sqlite.Open(context.Background(), sqlite.Options{Path: filepath.Join(s.dir, "db")})
	s.must(err)
	s.db, err = store.Open(context.Background(), e)
	s.must(err)
	c := intent.DefaultConfig()
	c.Quotas = nil
	s.svc = intent.New(s.db, c)
	s.api, err = api.New(s.svc, s.db, api.Options{Log: slog.New(slog.DiscardHandler)})
	s.must(err)
	ctx, cancel := context.WithCancel(context.Background())
	ln, err := feed.Listen(ctx, s.feed(), feed.Local)
	s.must(err)
	do := func(ctx context.Context, f func(*intent.Tx) error) error {
		return s.svc.Do(ctx, intent.Caller{Admin: true}, f)
	}
	server := feed.NewServer(s.db, feed.Handlers{
		Register: func(ctx context.Context, r neutrino.Registration) error {
			return do(ctx, func(tx *intent.Tx) error { return intent.Register(tx, r) })
		},
		Heartbeat: func(ctx context.Context, host string) error {
			return do(ctx, func(tx *intent.Tx) error { return intent.Heartbeat(tx, host) })
		},
		Report: func(ctx context.Context, r neutrino.Report, settled func(neutrino.ID) bool) error {
			return do(ctx, func(tx *intent.Tx) error { return intent.Report(tx, r, settled) })
		},
	})
	done := make(chan error, 1)
	go func() { done <- server.Serve(ctx, ln) }()
	s.stop = func() {
		cancel()
		if err := errors.Join(<-done, s.db.Close(), e.Close()); err != nil {
			s.Error(err)
		}
	}
}

func (s *site) down() {
	if s.stop != nil {
		s.stop()
		s.stop = nil
	}
}

func (s *site) feed() string { return "unix:" + filepath.Join(s.dir, "feed.sock") }

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// do is a request to the API; it wants a success and is the answer's body.
func (s *site) do(method, path, body string) map[string]any {
	s.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	if w.Code >= 300 {
		s.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
	var out map[string]any
	if w.Body.Len() > 0 {
		s.must(json.Unmarshal(w.Body.Bytes(), &out))
	}
	return out
}

func (s *site) create(noun, body string) string {
	s.Helper()
	return s.do("POST", "/v2.0/"+noun+"s", `{"`+noun+`": `+body+`}`)[noun].(map[string]any)["id"].(string)
}

// ports makes ports on the host, a hundred with a request.
func (s *site) ports(network string, n int) (ids []string) {
	s.Helper()
	for n > 0 {
		batch := min(n, 100)
		n -= batch
		one := fmt.Sprintf(`{"network_id": %q, "binding:host_id": "c1", "device_owner": "compute:nova", "device_id": "x"}`, network)
		out := s.do("POST", "/v2.0/ports", `{"ports": [`+strings.TrimSuffix(strings.Repeat(one+",", batch), ",")+`]}`)
		for _, p := range out["ports"].([]any) {
			ids = append(ids, p.(map[string]any)["id"].(string))
		}
	}
	return ids
}

// member is a host of the site with its agent.
type member struct {
	*site
	name string
	host *hosttest.Host
	*Agent
	end func()
}

func (s *site) member(name string, address byte) *member {
	m := &member{site: s, name: name, host: hosttest.New()}
	s.Cleanup(func() { m.off() })
	m.on(address)
	return m
}

// on starts the agent with what it left on its disk.
func (m *member) on(address byte) {
	m.Helper()
	c := config(m.T)
	c.Host, c.Fuse, c.Socket = m.name, fuse.Default, filepath.Join(m.dir, m.name+".sock")
	local := netip.AddrFrom4([4]byte{192, 0, 2, address})
	client, err := feed.NewClient(feed.ClientConfig{
		Server: m.feed(), File: filepath.Join(m.dir, m.name, "view.json"), Accepts: true, Machine: m.name,
		Registration: neutrino.Registration{Host: m.name, TunnelIP: local, TunnelTypes: []string{"gre"}, StartedAt: time.Now(),
			Services: []string{neutrino.AgentOVS, neutrino.AgentDHCP, neutrino.AgentL3}},
	})
	m.must(err)
	m.Agent = New(c, Deps{Source: client, Hands: handsOf(m.host)})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Agent.Run(ctx) }()
	m.end = func() {
		cancel()
		if err := <-done; err != nil {
			m.Error(err)
		}
	}
	eventually(m.T, m.name+" has acted", func() bool { st := m.Status(); return st.Connected && st.Passes > 0 })
}

func (m *member) off() {
	if m.end != nil {
		m.end()
		m.end = nil
	}
}

// has waits until the host has so many instances and routers planned, and fails
// when a person would have been called.
func (m *member) has(instances, routers int) {
	m.Helper()
	count := func() (int, int) {
		m.shared.mu.Lock()
		defer m.shared.mu.Unlock()
		if m.shared.state == nil {
			return -1, -1
		}
		ns := 0
		for name := range m.shared.state.Namespaces {
			if strings.HasPrefix(name, "qrouter-") {
				ns++
			}
		}
		return len(m.shared.state.VIFs), ns
	}
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		i, r := count()
		st := m.Status()
		if i == instances && r == routers && st.Fuse == nil {
			return
		}
		if st.Fuse != nil && !st.Fuse.Asked {
			m.Fatalf("%s holds %d objects, such as %+v: a person would have to come", m.name, len(st.Fuse.Objects), st.Fuse.Objects[0])
		}
		if time.Now().After(end) {
			m.Fatalf("%s has %d instances and %d routers, want %d and %d; held: %+v", m.name, i, r, instances, routers, st.Fuse)
		}
	}
}

// A thousand ports go by requests, one each, and no person is asked: not while all
// run, and not when the agent was off meanwhile and the server started again.
func TestAProjectWithAThousandPortsIsDeletedWithoutAPerson(t *testing.T) {
	for name, n := range map[string]int{"all run": 200, "agent off, server started again": 1000} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c1 := s.member("c1", 1)
			network := s.create("network", `{}`)
			s.create("subnet", fmt.Sprintf(`{"network_id": %q, "ip_version": 4, "cidr": "10.50.0.0/20", "enable_dhcp": false}`, network))
			ids := s.ports(network, n)
			c1.has(n, 0)
			if n == 1000 {
				c1.off()
			}
			for _, id := range ids {
				s.do("DELETE", "/v2.0/ports/"+id, "")
			}
			if n == 1000 {
				s.down()
				s.up()
				c1.on(1)
			}
			c1.has(0, 0)
		})
	}
}

// A host is drained router by router; and one that comes back after others took its
// routers has none of them, at once.
func TestADrainedHostKeepsNoRouter(t *testing.T) {
	s := newSite(t)
	c1 := s.member("c1", 1)
	const routers = 8
	for n := range routers {
		network := s.create("network", `{}`)
		subnet := s.create("subnet", fmt.Sprintf(`{"network_id": %q, "ip_version": 4, "cidr": "10.60.%d.0/24", "enable_dhcp": false}`, network, n))
		router := s.create("router", `{}`)
		s.do("PUT", "/v2.0/routers/"+router+"/add_router_interface", fmt.Sprintf(`{"subnet_id": %q}`, subnet))
	}
	c1.has(0, routers)
	c2 := s.member("c2", 2)
	for _, a := range s.do("GET", "/v2.0/agents?host=c1&agent_type=L3%20agent", "")["agents"].([]any) {
		id := a.(map[string]any)["id"].(string)
		for _, r := range s.do("GET", "/v2.0/agents/"+id+"/l3-routers", "")["routers"].([]any) {
			s.do("DELETE", "/v2.0/agents/"+id+"/l3-routers/"+r.(map[string]any)["id"].(string), "")
		}
	}
	c1.has(0, 0)
	for _, a := range s.do("GET", "/v2.0/agents?host=c2&agent_type=L3%20agent", "")["agents"].([]any) {
		id := a.(map[string]any)["id"].(string)
		for _, r := range s.do("GET", "/v2.0/routers", "")["routers"].([]any) {
			s.do("POST", "/v2.0/agents/"+id+"/l3-routers", fmt.Sprintf(`{"router_id": %q}`, r.(map[string]any)["id"]))
		}
	}
	c2.has(0, routers)
	c2.off()
	s.must(s.svc.Do(t.Context(), intent.Caller{Admin: true}, func(tx *intent.Tx) error { return moveAll(tx, "c2", "c1") }))
	c1.has(0, routers)
	c2.on(2)
	c2.has(0, 0)
}

// moveAll gives all routers of a host to another, as the server does for one that
// is dead: no request is behind it.
func moveAll(tx *intent.Tx, from, to string) error {
	var list []*neutrino.RouterBinding
	for b := range store.By(tx.Tx, store.RouterBindingsByHost, from) {
		list = append(list, b)
	}
	for _, b := range list {
		store.Put(tx.Tx, store.RouterBindings, &neutrino.RouterBinding{RouterID: b.RouterID, Host: to})
		for p := range store.By(tx.Tx, store.PortsByDevice, string(b.RouterID)) {
			moved := *p
			moved.HostID = to
			store.Put(tx.Tx, store.Ports, &moved)
			store.Put(tx.Tx, store.HostNetworks, &neutrino.HostNetwork{Host: to, NetworkID: p.NetworkID, LocalVLAN: 100 + uint16(p.FixedIPs[0].IPAddress.As4()[2])})
			store.Delete(tx.Tx, store.HostNetworks, store.HostNetworkID(from, p.NetworkID))
		}
	}
	return nil
}

// A store that has lost rows, and says nothing of why, ends nothing.
func TestAStoreThatLostRowsEndsNothing(t *testing.T) {
	s := newSite(t)
	c1 := s.member("c1", 1)
	network := s.create("network", `{}`)
	s.create("subnet", fmt.Sprintf(`{"network_id": %q, "ip_version": 4, "cidr": "10.70.0.0/24"}`, network))
	s.ports(network, 12)
	c1.has(12, 0)
	before := c1.text()
	s.down()
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(s.dir, "db")})
	s.must(err)
	db, err := store.Open(t.Context(), e)
	s.must(err)
	_, err = db.Update(t.Context(), func(tx *store.Tx) error {
		for _, p := range s.all(tx) {
			store.Delete(tx, store.Ports, p.ID)
		}
		return nil
	})
	s.must(errors.Join(err, db.Close(), e.Close()))
	s.up()
	eventually(t, "the fuse holds", func() bool { f := c1.Status().Fuse; return f != nil && !f.Asked })
	if c1.text() != before {
		t.Error("the plan is another one")
	}
	c1.off()
	c1.on(1)
	eventually(t, "the fuse holds after a restart", func() bool { f := c1.Status().Fuse; return f != nil && !f.Asked })
	if c1.text() != before {
		t.Error("the plan is another one after a restart")
	}
	eventually(t, "the API has it among the agent's conditions", func() bool {
		return strings.Contains(fmt.Sprint(s.do("GET", "/v2.0/agents?host=c1", "")), "neutrino agent release")
	})
	s.must(Release(t.Context(), filepath.Join(s.dir, "c1.sock"), len(c1.Status().Fuse.Objects)))
	eventually(t, "what was held is gone", func() bool { return c1.Status().Fuse == nil })
	c1.has(0, 0)
}

func (s *site) all(tx *store.Tx) (list []*neutrino.Port) {
	for p := range store.All(tx, store.Ports) {
		list = append(list, p)
	}
	return list
}

// text is the plan that is acted on.
func (m *member) text() string {
	m.shared.mu.Lock()
	defer m.shared.mu.Unlock()
	return m.shared.state.Text()
}
