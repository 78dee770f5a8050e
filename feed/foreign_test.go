package feed

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"neutrino/feed/feedpb"
	"neutrino/view"
)

// newerServer sends what it is told, to one agent.
type newerServer struct {
	feedpb.UnimplementedFeedServer
	views  chan *feedpb.View
	hellos chan *feedpb.Hello
}

func (n *newerServer) Follow(s feedpb.Feed_FollowServer) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	n.hellos <- m.GetHello()
	for {
		select {
		case <-s.Context().Done():
			return nil
		case v := <-n.views:
			if err := s.Send(v); err != nil {
				return err
			}
		}
	}
}

func wireRow(kind, id, value string) *feedpb.Row {
	return &feedpb.Row{Kind: kind, Id: id, Value: []byte(value)}
}

// An older agent stays connected to a newer server. Rows of a kind that it does
// not know and may not leave out keep the view from being acted on, no longer
// than they are there; nothing else does.
func TestAnOlderAgentAndANewerServer(t *testing.T) {
	addr := "unix:" + filepath.Join(t.TempDir(), "newer.sock")
	n := &newerServer{views: make(chan *feedpb.View), hellos: make(chan *feedpb.Hello, 100)}
	serveRaw(t, addr, n)
	c := &cloud{t: t, addr: addr}
	file := filepath.Join(t.TempDir(), "view")
	client, stop := c.agent(ClientConfig{File: file, Version: "1.0"})
	if h := <-n.hellos; h.GetVersion() != "1.0" || h.GetMachine() != "m" || len(h.GetKinds()) != len(view.Kinds()) {
		t.Errorf("the hello says version %q, machine %q and %d kinds", h.GetVersion(), h.GetMachine(), len(h.GetKinds()))
	}
	kinds := append(known(), &feedpb.Kind{Name: "firewall", Attributes: []string{"id"}})
	n.views <- &feedpb.View{Full: true, Complete: true, Revision: 1, Version: "2.0", Kinds: kinds, Puts: []*feedpb.Row{
		wireRow("network", "n", `{"id":"n","local_vlan":1}`), wireRow("rule", "r", `{"id":"r","security_group_id":"g","remote_address_group_id":"a"}`),
		{Kind: "addressgroup", Id: "a", Value: []byte(`{}`), Ignorable: true},
	}}
	v := at(t, client, 1)
	if m := v.Host.Misread[view.Key{Kind: "rule", ID: "r"}]; len(v.Host.Networks) != 1 || len(v.Host.Rules) != 0 || !strings.Contains(m.Reason, "remote_address_group_id") {
		t.Errorf("the view is\n%sand misread are %v", view.Text(v.Host), v.Host.Misread)
	}
	if s := client.State(); s.Version != "2.0" || !slices.Equal(s.Lacks, []string{"firewall"}) || s.Held != "" {
		t.Errorf("the state is %+v", s)
	}
	n.views <- &feedpb.View{Complete: true, Revision: 2, Puts: []*feedpb.Row{wireRow("firewall", "f", `{}`), wireRow("port", "p", `{"id":"p","network_id":"n"}`)}}
	eventually(t, "the view is held", func() bool { return client.State().Held != "" })
	if w, _ := client.Latest(); w.Revision != 1 || len(w.Host.Ports) != 0 {
		t.Errorf("acted on at %d:\n%s", w.Revision, view.Text(w.Host))
	}
	if s := client.State(); !s.Connected || !strings.Contains(s.Held, "firewall") || !strings.Contains(s.Held, "upgrade the agent") {
		t.Errorf("the state is %+v", s)
	}
	n.views <- &feedpb.View{Complete: true, Revision: 3, Drops: []*feedpb.Key{{Kind: "firewall", Id: "f"}}}
	if w := at(t, client, 3); len(w.Host.Ports) != 1 || client.State().Held != "" {
		t.Errorf("when the row is gone the view is\n%s", view.Text(w.Host))
	}
	n.views <- &feedpb.View{Complete: true, Revision: 4, Puts: []*feedpb.Row{wireRow("firewall", "f", `{}`)}, Drops: []*feedpb.Key{{Kind: "port", Id: "p"}}}
	eventually(t, "the view is held again", func() bool { return client.State().Held != "" })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if k, err := load(t.Context(), file, "c1"); err != nil || k.acted != 3 || len(k.host.Ports) != 1 || len(k.ignorable) != 1 {
		t.Errorf("on disk is revision %d (%v)", k.acted, err)
	}
}

// The server knows what an agent lacks, and passes it on with the registration.
func TestAServerKnowsWhatAnAgentLacks(t *testing.T) {
	c := newCloud(t)
	older := known()
	older = slices.DeleteFunc(older, func(k *feedpb.Kind) bool { return k.GetName() == "forwarding" })
	for _, k := range older {
		k.Attributes = slices.DeleteFunc(k.Attributes, func(a string) bool { return k.GetName() == "rule" && a == "remote_group_id" })
	}
	views, _ := raw(t, c, &feedpb.Hello{Registration: []byte(`{"host":"c1"}`), Version: "0.9", Kinds: older})
	if v := next(t, views); len(v.GetKinds()) != len(view.Kinds()) {
		t.Errorf("the first view names %d kinds", len(v.GetKinds()))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.registrations[len(c.registrations)-1]
	if want := []string{"forwarding", "rule.remote_group_id"}; r.Version != "0.9" || !slices.Equal(r.Lacks, want) {
		t.Errorf("registered with version %q and lacks %v, want %v", r.Version, r.Lacks, want)
	}
}
