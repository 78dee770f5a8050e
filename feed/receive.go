package feed

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"neutrino/feed/feedpb"
	"neutrino/view"
)

// list is the rows in no particular order.
func (h holding) list() []view.Row {
	rows := make([]view.Row, 0, len(h.rows))
	for k, v := range h.rows {
		rows = append(rows, view.Row{Kind: k.Kind, ID: k.ID, Value: v})
	}
	return rows
}

// stage collects the pieces of one change of the view.
type stage struct {
	full  bool
	delta view.Delta
}

func (s *stage) add(v *feedpb.View) {
	if v.GetFull() {
		*s = stage{full: true}
	}
	for _, r := range v.GetPuts() {
		s.delta.Puts = append(s.delta.Puts, view.Row{Kind: r.GetKind(), ID: r.GetId(), Value: r.GetValue()})
	}
	for _, k := range v.GetDrops() {
		s.delta.Drops = append(s.delta.Drops, view.Key{Kind: k.GetKind(), ID: k.GetId()})
	}
}

// commit is what the host holds after the change.
func (s *stage) commit(h holding, revision int64) (holding, error) {
	if s.full {
		h = holding{host: view.New(h.host.Name)}
	}
	h.revision = revision
	if s.delta.Empty() {
		return h, nil
	}
	host, err := view.Apply(h.host, s.delta)
	if err != nil {
		return h, err
	}
	rows := maps.Clone(h.rows)
	if rows == nil {
		rows = map[view.Key]json.RawMessage{}
	}
	for _, r := range s.delta.Puts {
		rows[r.Key()] = r.Value
	}
	for _, k := range s.delta.Drops {
		delete(rows, k)
	}
	h.host, h.rows = host, rows
	return h, nil
}

// receive takes views in. What is not complete when the stream ends is
// forgotten.
func (c *Client) receive(stream feedpb.Feed_FollowClient, opened chan<- struct{}) error {
	var st stage
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if a := m.GetAnswer(); a != nil {
			c.answered(a)
			continue
		}
		st.add(m)
		if !m.GetComplete() {
			continue
		}
		c.meet(m)
		c.mu.Lock()
		from := c.held
		c.mu.Unlock()
		next, err := st.commit(from, m.GetRevision())
		if err != nil {
			// The next hello must not get a delta on top of a misreading.
			c.forget()
			slog.Error("feed: view not understood", "revision", m.GetRevision(), "err", err)
			return fmt.Errorf("feed: revision %d: %w", m.GetRevision(), err)
		}
		c.accept(next, m.GetCauses())
		st = stage{}
		if opened != nil {
			slog.Info("feed: connected", "server", c.config.Server, "revision", next.revision)
			close(opened)
			opened = nil
		}
	}
}

// meet notes what the server says of its program, with the first complete mark of
// a stream.
func (c *Client) meet(m *feedpb.View) {
	if m.GetVersion() == "" && len(m.GetKinds()) == 0 {
		return
	}
	lacks := view.Lacks(fromKinds(m.GetKinds()), view.Kinds())
	c.mu.Lock()
	changed := m.GetVersion() != c.state.Version || !slices.Equal(lacks, c.state.Lacks)
	c.state.Version, c.state.Lacks = m.GetVersion(), lacks
	c.mu.Unlock()
	if changed && len(lacks) > 0 {
		slog.Warn("feed: the server knows attributes that this agent does not; objects that have them will be refused", "server_version", cut(m.GetVersion()), "attributes", cut(strings.Join(lacks, ", ")))
	}
}

// accept hands a complete view over.
func (c *Client) accept(h holding, causes []string) {
	c.mu.Lock()
	c.held = h
	c.latest = View{Host: h.host, Revision: h.revision, Causes: append(c.latest.Causes, causes...), of: h}
	c.state = ClientState{Connected: true, Version: c.state.Version, Lacks: c.state.Lacks}
	if !c.config.Accepts {
		c.accepted = kept{holding: h}
		signal(c.unsaved)
	}
	c.mu.Unlock()
	signal(c.changed)
}

// forget makes the next hello ask for everything. What was handed over stays.
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = holding{host: view.New(c.config.Registration.Host)}
}
