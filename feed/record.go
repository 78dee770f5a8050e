package feed

import (
	"crypto/sha256"
	"sync"

	"neutrino"
	"neutrino/feed/feedpb"
	"neutrino/view"
)

// record is what the server remembers of a host, connected or not: the view
// that was last sent, and for each port, here or still to move here, and each
// floating IP the revision at which its row was last sent. It is the newest
// session's; older ones may no longer touch it.
type record struct {
	host     string
	mu       sync.Mutex
	session  *session
	sent     *view.Host
	revision int64
	rows     map[neutrino.ID]int64 // of ports and floating IPs
	causes   []string              // of what was not sent yet
	apart    bool                  // the session's agent holds the view of another store
}

// maxCauses is how many requests one update names: more than a reader of a log
// wants. The newest are left out.
const maxCauses = 32

// session is one stream of a host.
type session struct {
	hello    *hello
	dirty    chan struct{} // capacity 1: the view may have changed
	replaced chan struct{} // closed when a newer stream of the machine took the host over
	heard    chan struct{} // capacity 1: report or beat is new
	asked    chan struct{} // capacity 1: question is new

	mu     sync.Mutex
	report *neutrino.Report // the last one
	fresh  bool             // report has not been handled yet
	beat   bool             // a heartbeat has not been handled yet

	question *feedpb.Question // the last one, nil when it has been answered
}

func newSession(h *hello) *session {
	return &session{hello: h, dirty: make(chan struct{}, 1), replaced: make(chan struct{}), heard: make(chan struct{}, 1), asked: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (r *record) attach(ses *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session != nil {
		close(r.session.replaced)
	}
	r.session, r.apart = ses, false
}

// holdsAnother notes that the session's agent holds the view of another store.
func (r *record) holdsAnother(ses *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session == ses {
		r.apart = true
	}
}

func (r *record) detach(ses *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session == ses {
		r.session = nil
	}
}

// current reports whether no newer session has the host.
func (r *record) current(ses *session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session == ses
}

// wake makes the session look at the view again. cause is the request that
// changed it, "" for none that is known.
func (r *record) wake(cause string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cause != "" && len(r.causes) < maxCauses {
		r.causes = append(r.causes, cause)
	}
	if r.session != nil {
		signal(r.session.dirty)
	}
}

// held is what an agent says that it holds.
type held struct {
	revision int64
	digest   []byte
	at       neutrino.StorePosition // which store its rows are of, also when it asks for all rows
}

// update is a change of a host's view that is about to be sent.
type update struct {
	full     bool
	delta    view.Delta
	revision int64
	causes   []string
	store    neutrino.StoreIdentity
}

// open decides how an agent comes to hold the view v: it does already, it
// holds what was last sent, or it gets everything. It records the view as
// sent; ok is false when a newer session has the host.
func (r *record) open(ses *session, has held, v *view.Host, revision int64) (u update, ok bool) {
	rows := view.Rows(v)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session != ses {
		return update{}, false
	}
	u = update{revision: revision}
	switch {
	case has.revision > 0 && string(has.digest) == digest(rows):
		// It has held these rows since its revision; one above ours is of
		// another life of the store.
		r.rows = map[neutrino.ID]int64{}
		for id := range v.Ports {
			r.rows[id] = min(has.revision, revision)
		}
		for id := range v.Standby {
			r.rows[id] = min(has.revision, revision)
		}
		for id := range v.FloatingIPs {
			r.rows[id] = min(has.revision, revision)
		}
	case has.revision > 0 && r.sent != nil && string(has.digest) == digest(view.Rows(r.sent)):
		u.delta = view.Diff(r.sent, v)
	default:
		u.full, u.delta = true, view.Delta{Puts: rows}
		r.rows = map[neutrino.ID]int64{}
	}
	r.record(v, u)
	return u, true
}

// advance is the delta from what was last sent; ok is false when there is
// nothing to send or a newer session has the host.
func (r *record) advance(ses *session, v *view.Host, revision int64) (u update, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.session != ses {
		return update{}, false
	}
	u = update{delta: view.Diff(r.sent, v), revision: revision, causes: r.causes}
	r.causes = nil
	if u.delta.Empty() {
		return update{}, false
	}
	r.record(v, u)
	return u, true
}

// record notes an update before it is sent, because the report on it may be
// faster than the return of the send. Should it get lost, the digest of the
// next hello tells.
func (r *record) record(v *view.Host, u update) {
	r.sent, r.revision = v, u.revision
	// Drops first: a port that moved here goes as standby and comes as port.
	for _, key := range u.delta.Drops {
		if reported(key.Kind) {
			delete(r.rows, neutrino.ID(key.ID))
		}
	}
	for _, row := range u.delta.Puts {
		if reported(row.Kind) {
			r.rows[neutrino.ID(row.ID)] = u.revision
		}
	}
}

// reported reports whether a host's reports make the status of such rows.
func reported(kind string) bool {
	return kind == view.KindPort || kind == view.KindStandby || kind == view.KindFloatingIP
}

// settled says which ports and floating IPs a host had in their present form
// when it had acted on the revision. A revision that was never sent settles nothing.
func (r *record) settled(revision int64) func(neutrino.ID) bool {
	return func(id neutrino.ID) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		put, ok := r.rows[id]
		return ok && revision <= r.revision && put <= revision
	}
}

func digest(rows []view.Row) string {
	d := view.Digest(rows)
	return string(d[:sha256.Size])
}

// connected reports whether a session has the host, and whether its agent holds the
// view of another store.
func (r *record) connected() (here, apart bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session != nil, r.session != nil && r.apart
}
