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
		rows = append(rows, view.Row{Kind: k.Kind, ID: k.ID, Value: v, Ignorable: h.ignorable[k]})
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
		s.delta.Puts = append(s.delta.Puts, view.Row{Kind: r.GetKind(), ID: r.GetId(), Value: r.GetValue(), Ignorable: r.GetIgnorable()})
	}
	for _, k := range v.GetDrops() {
		s.delta.Drops = append(s.delta.Drops, view.Key{Kind: k.GetKind(), ID: k.GetId()})
	}
}

// commit is what the host holds after the change. Of rows that this program may
// not leave out and does not know, nobody can say which other rows they
// restrict: while there are some, the host acts on the view of before.
func (s *stage) commit(h holding, revision int64) (holding, error) {
	if !s.full && s.delta.Empty() {
		if h.revision = revision; len(h.foreign) == 0 {
			h.acted = revision
		}
		return h, nil
	}
	next := holding{revision: revision, host: h.host, acted: h.acted, name: h.name, hold: h.hold}
	if s.full {
		next.rows, next.ignorable, next.foreign = map[view.Key]json.RawMessage{}, map[view.Key]bool{}, map[view.Key]bool{}
	} else {
		next.rows, next.ignorable, next.foreign = cloned(h.rows), cloned(h.ignorable), cloned(h.foreign)
	}
	for _, r := range s.delta.Puts {
		k := r.Key()
		next.rows[k] = r.Value
		set(next.ignorable, k, r.Ignorable)
		set(next.foreign, k, !r.Ignorable && !view.Knows(r.Kind))
	}
	for _, k := range s.delta.Drops {
		delete(next.rows, k)
		delete(next.ignorable, k)
		delete(next.foreign, k)
	}
	from, delta := h.host, s.delta
	switch {
	case len(next.foreign) > 0:
		return next, nil
	case s.full || len(h.foreign) > 0:
		from, delta = view.New(h.host.Name), view.Delta{Puts: next.list()}
	}
	var err error
	next.host, err = view.Apply(from, delta)
	next.acted = revision
	return next, err
}

func cloned[V any](m map[view.Key]V) map[view.Key]V {
	if m == nil {
		return map[view.Key]V{}
	}
	return maps.Clone(m)
}

func set(m map[view.Key]bool, k view.Key, is bool) {
	if is {
		m[k] = true
	} else {
		delete(m, k)
	}
}

// heldBack says why the host does not act on its newest view, "" when it does.
func (h holding) heldBack() string {
	if len(h.foreign) == 0 {
		return ""
	}
	kinds := map[string]bool{}
	for k := range h.foreign {
		kinds[k.Kind] = true
	}
	return fmt.Sprintf("revision %d is not acted on, the host works by revision %d: the server sends rows of a kind that this agent does not know and may not leave out (%s); upgrade the agent",
		h.revision, h.acted, cut(strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")))
}

// receive takes views in. What is not complete when the stream ends is
// forgotten.
func (c *Client) receive(stream feedpb.Feed_FollowClient, opened chan<- struct{}) error {
	var st stage
	base, _ := c.holds()
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
		next, err := st.commit(base, m.GetRevision())
		if err != nil {
			// The next hello must not get a delta on top of a misreading.
			c.forget()
			slog.Error("feed: view not understood", "revision", m.GetRevision(), "err", err)
			return fmt.Errorf("feed: revision %d: %w", m.GetRevision(), err)
		}
		next.name = storeOf(m)
		if err := c.take(next, m.GetCauses()); err != nil {
			return err
		}
		st, base = stage{}, next
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

// forget makes the next hello ask for everything. What was handed over stays, and
// so does what was held: what comes next has to continue it.
func (c *Client) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.afresh = true
}
