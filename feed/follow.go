package feed

import (
	"context"
	"log/slog"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"neutrino"
	"neutrino/feed/feedpb"
	"neutrino/view"
)

// follower is the server's end of one stream.
type follower struct {
	*Server
	stream  feedpb.Feed_FollowServer
	rec     *record
	ses     *session
	log     *slog.Logger
	met     bool           // the agent knows who we are; send's own
	unknown bool           // the last answer left rows out, and that is logged; send's own
	lives   [2]neutrino.ID // that the agent may hold: the hello's, and the last that was sent
}

// send brings the agent to the present view and then keeps it there. Changes
// that come while a send waits for a slow host become one update.
func (f *follower) send(ctx context.Context) error {
	snap := f.db.Snapshot()
	held := f.ses.hello.held
	f.compare(held.at, snap.Position())
	f.lives[0] = held.at.Life
	u, ok := f.rec.open(f.ses, held, view.For(snap, f.rec.host), snap.Revision())
	if ok {
		u.store = snap.Position().StoreIdentity
		f.log.Debug("feed: opened", "full", u.full, "puts", len(u.delta.Puts), "drops", len(u.delta.Drops))
		if err := f.push(u); err != nil {
			return err
		}
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.ses.replaced:
			return status.Errorf(codes.Aborted, "the machine of host %s has connected anew", f.rec.host)
		case <-f.ses.asked:
			if err := f.answer(ctx); err != nil {
				return err
			}
			continue
		case <-f.ses.dirty:
		}
		snap := f.db.Snapshot()
		u, ok := f.rec.advance(f.ses, view.For(snap, f.rec.host), snap.Revision())
		if !ok {
			continue
		}
		u.store = snap.Position().StoreIdentity
		if err := f.push(u); err != nil {
			return err
		}
	}
}

// maxPiece is about how many bytes of rows go into one message; grpc refuses
// messages above 4 MiB.
const maxPiece = 1 << 20

// push sends an update, in pieces when it is big. Only the last piece has the
// complete mark.
func (f *follower) push(u update) error {
	piece, size := &feedpb.View{Full: u.full}, 0
	flush := func(last bool) error {
		if !last && size < maxPiece {
			return nil
		}
		if last {
			piece.Complete, piece.Revision, piece.Causes = true, u.revision, u.causes
			if !f.met {
				piece.Version, piece.Kinds, f.met = f.handlers.Version, known(), true
			}
			piece.Store, piece.Life = string(u.store.Cluster), lifeOf(u.store, f.lives[:]...)
			f.lives[1] = u.store.Life
		}
		err := f.stream.Send(piece)
		piece, size = &feedpb.View{}, 0
		return err
	}
	for _, r := range u.delta.Puts {
		piece.Puts = append(piece.Puts, &feedpb.Row{Kind: r.Kind, Id: r.ID, Value: r.Value, Ignorable: r.Ignorable})
		size += len(r.Value) + len(r.ID)
		if err := flush(false); err != nil {
			return err
		}
	}
	for _, k := range u.delta.Drops {
		piece.Drops = append(piece.Drops, &feedpb.Key{Kind: k.Kind, Id: k.ID})
		size += len(k.ID)
		if err := flush(false); err != nil {
			return err
		}
	}
	return flush(true)
}

// receive takes in what the agent says; only the last report counts.
func (f *follower) receive() error {
	for {
		m, err := f.stream.Recv()
		if err != nil {
			return err // io.EOF too: an agent that says no more has left
		}
		if f.handlers.Heard != nil && f.rec.current(f.ses) {
			f.handlers.Heard(f.rec.host)
		}
		f.ses.mu.Lock()
		switch body := m.GetBody().(type) {
		case *feedpb.AgentMessage_Report:
			f.ses.report, f.ses.fresh = fromReport(f.rec.host, body.Report), true
		case *feedpb.AgentMessage_Heartbeat:
			f.ses.beat = true
		case *feedpb.AgentMessage_Question:
			f.ses.question = body.Question
			signal(f.ses.asked)
		}
		f.ses.mu.Unlock()
		signal(f.ses.heard)
	}
}

func fromReport(host string, r *feedpb.Report) *neutrino.Report {
	out := &neutrino.Report{Host: host, Revision: r.GetRevision(), Life: neutrino.ID(r.GetLife())}
	for _, p := range r.GetPending() {
		out.Pending = append(out.Pending, neutrino.Pending{
			Object: p.GetObject(), Reason: p.GetReason(), Kind: neutrino.PendingKind(p.GetKind()),
		})
	}
	return out
}

// How long a handler that failed is left alone.
const (
	handlerRetryMin = 100 * time.Millisecond
	handlerRetryMax = 10 * time.Second
)

// handle hands reports and heartbeats to the handlers, until they take them.
func (f *follower) handle(ctx context.Context) error {
	wait := handlerRetryMin
	last := time.Now() // the registration was a heartbeat
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.ses.heard:
		}
		if f.handleReport(ctx) && f.handleBeat(ctx, &last) {
			wait = handlerRetryMin
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, handlerRetryMax)
		signal(f.ses.heard)
	}
}

// handleReport reports whether nothing is left to hand over. A heartbeat
// brings the last report along.
func (f *follower) handleReport(ctx context.Context) bool {
	f.ses.mu.Lock()
	r := f.ses.report
	due := r != nil && (f.ses.fresh || f.ses.beat)
	f.ses.fresh = false
	f.ses.mu.Unlock()
	if !due || !f.rec.current(f.ses) {
		return true
	}
	if err := f.handlers.Report(ctx, *r, f.settled(*r)); err != nil {
		f.log.Warn("feed: report not taken in", "revision", r.Revision, "err", err)
		f.ses.mu.Lock()
		f.ses.fresh = true
		f.ses.mu.Unlock()
		return false
	}
	return true
}

// compare notes an agent that holds what this store does not continue: it will not
// take this store's views.
func (f *follower) compare(held, here neutrino.StorePosition) {
	switch step := held.Step(here); {
	case !step.Taken():
		f.rec.holdsAnother(f.ses)
		f.log.Error("feed: the host holds the view of another store and does not take this one's", "why", held.Difference(here),
			"cluster", held.Cluster, "life", held.Life, "revision", held.Revision)
	case held.Loses(here):
		common, _ := here.Follows(held.Life)
		f.log.Warn("feed: the host has what was made after the copy that was restored, and keeps it until its operator accepts the store",
			"life", held.Life, "revision", held.Revision, "restored", common.Revision)
	}
}

// settled is which rows the host had in their present form when it reported. A
// report on another life of the store says nothing of this one's rows.
func (f *follower) settled(r neutrino.Report) func(neutrino.ID) bool {
	if r.Life != "" && r.Life != f.db.Snapshot().Position().Life {
		return func(neutrino.ID) bool { return false }
	}
	return f.rec.settled(r.Revision)
}

// beatSlack is the part of the interval that a heartbeat may come early.
const beatSlack = 10

func (f *follower) handleBeat(ctx context.Context, last *time.Time) bool {
	f.ses.mu.Lock()
	due := f.ses.beat
	f.ses.beat = false
	f.ses.mu.Unlock()
	if !due || time.Since(*last) < f.handlers.BeatInterval-f.handlers.BeatInterval/beatSlack {
		return true
	}
	if err := f.handlers.Heartbeat(ctx, f.rec.host); err != nil {
		f.log.Warn("feed: heartbeat not taken in", "err", err)
		f.ses.mu.Lock()
		f.ses.beat = true
		f.ses.mu.Unlock()
		return false
	}
	*last = time.Now()
	return true
}
