package feed

import (
	"errors"
	"fmt"
	"log/slog"

	"neutrino"
	"neutrino/feed/feedpb"
	"neutrino/view"
)

// storeOf is the name of the store that a complete view is of.
func storeOf(m *feedpb.View) neutrino.StoreIdentity {
	s := neutrino.StoreIdentity{Cluster: neutrino.ID(m.GetStore()), Life: neutrino.ID(m.GetLife().GetId())}
	for _, p := range m.GetLife().GetPast() {
		s.Past = append(s.Past, neutrino.PastLife{Life: neutrino.ID(p.GetId()), Revision: p.GetRevision(), Restored: p.GetRestored()})
	}
	return s
}

// lifeOf is the life of a store as a view carries it. Of the past, only the lives
// that the agent may hold are named.
func lifeOf(s neutrino.StoreIdentity, held ...neutrino.ID) *feedpb.Life {
	if !s.Named() {
		return nil
	}
	l := &feedpb.Life{Id: string(s.Life)}
	for _, life := range held {
		if p, ok := s.Follows(life); ok {
			l.Past = append(l.Past, &feedpb.Life{Id: string(p.Life), Revision: p.Revision, Restored: p.Restored})
		}
	}
	return l
}

// helloLife is the life that an agent holds a revision of.
func helloLife(h holding) *feedpb.Life {
	return &feedpb.Life{Id: string(h.name.Life), Revision: h.revision}
}

// heldBy is the position that an agent says it holds.
func heldBy(h *feedpb.Hello) neutrino.StorePosition {
	return neutrino.StorePosition{
		StoreIdentity: neutrino.StoreIdentity{Cluster: neutrino.ID(h.GetStore()), Life: neutrino.ID(h.GetLife().GetId())},
		Revision:      max(h.GetRevision(), h.GetLife().GetRevision()),
	}
}

// holds is what the host has, and whether it wants everything anew.
func (c *Client) holds() (h holding, afresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.held, c.afresh
}

// take takes a complete view in. One that does not continue what the host holds is
// an offer: the host works on by what it has, and the file stays as it is.
func (c *Client) take(next holding, causes []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.held
	from, to := before.position(), next.position()
	var err error
	switch step := from.Step(to); {
	case !step.Taken():
		c.refuse(next)
		return nil
	case step == neutrino.StepNext && (from.Loses(to) || len(before.hold.rows) > 0):
		next.hold, err = next.keeping(heldAt(before, next))
		slog.Error("feed: the store was restored from a copy of before; this host works on as it is",
			"life", to.Life, "follows", from.Life, "revision", from.Revision, "held", len(next.hold.rows), "remedy", remedy)
	case step == neutrino.StepNext:
		slog.Warn("feed: the store has begun a new life", "life", to.Life, "follows", from.Life)
	default:
		next.hold, err = next.keeping(before.hold.after(before.rows, next.rows))
	}
	if err != nil {
		return fmt.Errorf("feed: revision %d: %w", next.revision, err)
	}
	c.accept(next, causes)
	return nil
}

// accept hands a complete view over. The lock is held.
func (c *Client) accept(h holding, causes []string) {
	held, was, untold := h.heldBack(), c.held, c.latest
	c.held, c.afresh, c.offer, c.other = h, false, nil, otherStore{}
	if held == "" {
		c.latest = h.view()
		c.latest.Causes, c.latest.Accepted = append(untold.Causes, causes...), untold.Accepted
	} else if c.latest.Host == nil && was.acted > 0 {
		c.latest = was.view()
		c.latest.Stored = true
	}
	if held != "" && c.state.Held == "" {
		slog.Error("feed: view not acted on", "reason", held)
	}
	c.state = ClientState{Connected: true, Version: c.state.Version, Lacks: c.state.Lacks, Held: held}
	if !c.config.Accepts && held == "" {
		c.accepted = kept{holding: h}
		signal(c.unsaved)
	}
	signal(c.changed)
}

// otherStore is a store whose views are not used, for one reason.
type otherStore struct {
	cluster, life neutrino.ID
	step          neutrino.StoreStep
}

// refuse keeps a view as an offer and says so once. The lock is held.
func (c *Client) refuse(h holding) {
	c.offer = &h
	if other := (otherStore{h.name.Cluster, h.name.Life, c.held.position().Step(h.position())}); other != c.other {
		c.other = other
		c.state.NotUsed = cut(c.refusal(h))
		slog.Error("feed: the server's view is not used", "why", c.state.NotUsed, "server", c.config.Server)
	}
	c.state = ClientState{Connected: true, NotUsed: c.state.NotUsed, Version: c.state.Version, Lacks: c.state.Lacks, Held: c.state.Held}
	if c.latest.Host == nil && c.held.acted > 0 {
		c.latest = c.held.view()
		c.latest.Stored = true
	}
	signal(c.changed)
}

// refusal says why a view is not used, and what to do.
func (c *Client) refusal(h holding) string {
	return c.held.position().Difference(h.position()) + "; this host works on by the view that it has. " +
		"Restore the store, or take this one's word with neutrino agent accept on the host"
}

// StoreState is which store a host follows, and what waits for the operator's word.
type StoreState struct {
	Held neutrino.StorePosition `json:"held"`
	// Offered is the store that the server has, where the host does not take it.
	Offered *neutrino.StorePosition `json:"offered,omitempty"`
	// Why is what is wrong with the offer, or what is held; "" when nothing waits.
	Why string `json:"why,omitempty"`
	// Drops, Changes and Adds are what the host would lose, change and get by
	// [Client.AcceptStore]: "port 0c7f…".
	Drops   []string `json:"drops,omitempty"`
	Changes []string `json:"changes,omitempty"`
	Adds    []string `json:"adds,omitempty"`
}

// Store says which store the host follows.
func (c *Client) Store() StoreState {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := StoreState{Held: c.held.position()}
	to := c.held.host
	switch {
	case c.offer != nil:
		at := c.offer.position()
		s.Offered, s.Why, to = &at, c.state.NotUsed, c.offer.host
	case len(c.held.hold.rows) > 0:
		s.Why = c.held.hold.told[0].Reason
	default:
		return s
	}
	had := map[view.Key]bool{}
	work := c.held.working()
	for _, r := range view.Rows(work) {
		had[r.Key()] = true
	}
	d := view.Diff(work, to)
	for _, k := range d.Drops {
		s.Drops = append(s.Drops, k.Kind+" "+k.ID)
	}
	for _, r := range d.Puts {
		if had[r.Key()] {
			s.Changes = append(s.Changes, r.Kind+" "+r.ID)
		} else {
			s.Adds = append(s.Adds, r.Kind+" "+r.ID)
		}
	}
	return s
}

// ErrNothingWaits is what [Client.AcceptStore] answers when the host is as its store says.
var ErrNothingWaits = errors.New("feed: nothing waits to be accepted")

// AcceptStore takes the operator's word: the host follows the store with this cluster
// id and life, and all that was held is as that store says. It is an error when the
// store that waits is another one.
func (c *Client) AcceptStore(store neutrino.StoreIdentity) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.held
	if c.offer != nil {
		next = *c.offer
	} else if len(next.hold.rows) == 0 {
		return ErrNothingWaits
	}
	if next.name.Cluster != store.Cluster || next.name.Life != store.Life {
		return fmt.Errorf("feed: what waits is life %q of cluster %q", next.name.Life, next.name.Cluster)
	}
	next.hold = hold{}
	slog.Warn("feed: accepted by the operator", "cluster", store.Cluster, "life", store.Life, "revision", next.revision)
	c.accept(next, nil)
	c.latest.Accepted = true
	// The server has taken the hello for that of a host with another store.
	signal(c.again)
	return nil
}
