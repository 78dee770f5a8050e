package feed

import (
	"context"
	"slices"
	"time"

	"neutrino/feed/feedpb"
	"neutrino/view"
	"neutrino/view/fuse"
)

// maxQuestion is how many rows one question names: more are asked about in
// several.
const maxQuestion = 5000

// askAgain is how often the rest of a question is asked about again: what was
// nobody's may be another host's now.
const askAgain = 3 * time.Second

// questions is the client's side of asking the server which rows are gone for
// good.
type questions struct {
	keys   []view.Key
	next   int   // where the next question begins
	number int64 // of the last question
	open   bool  // it has no answer yet
	all    bool  // every key was asked about and answered once
	gone   map[view.Key]string
	told   int           // of gone, when all were answered last
	box    chan struct{} // capacity 1: there is something to ask
}

// Ask has the server asked which of the rows are gone because somebody asked for
// that; [Client.Answer] has what it said. Only the last call counts, none for
// nothing. It does not wait.
func (c *Client) Ask(keys []view.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := &c.questions
	if slices.Equal(q.keys, keys) {
		return
	}
	q.keys, q.gone = slices.Clone(keys), nil
	q.again()
}

func (q *questions) again() {
	q.next, q.open, q.all = 0, false, false
	if len(q.keys) > 0 {
		signal(q.box)
	}
}

// Answer is what the server said about the rows of the last Ask: those that are
// gone and why, and whether it has answered about all.
func (c *Client) Answer() (gone map[view.Key]string, all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.questions.gone, c.questions.all
}

// question is the next one, nil for none.
func (c *Client) question() *feedpb.AgentMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := &c.questions
	if len(q.keys) == 0 || q.open {
		return nil
	}
	part := q.keys[q.next:min(q.next+maxQuestion, len(q.keys))]
	q.number++
	q.open = true
	m := &feedpb.Question{Number: q.number}
	for _, k := range part {
		m.Rows = append(m.Rows, &feedpb.Key{Kind: k.Kind, Id: k.ID})
	}
	return &feedpb.AgentMessage{Body: &feedpb.AgentMessage_Question{Question: m}}
}

// answered takes an answer in. One to a question of before counts for nothing.
func (c *Client) answered(a *feedpb.Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := &c.questions
	if !q.open || a.GetNumber() != q.number {
		return
	}
	q.open = false
	gone := map[view.Key]string{}
	for k, why := range q.gone { // it was handed out, so it is never changed
		gone[k] = why
	}
	for _, g := range a.GetGone() {
		gone[view.Key{Kind: g.GetKind(), ID: g.GetId()}] = g.GetWhy()
	}
	q.gone = gone
	if q.next += maxQuestion; q.next < len(q.keys) {
		signal(q.box)
		return
	}
	if news := !q.all || len(gone) != q.told; news {
		signal(c.changed)
	}
	q.next, q.all, q.told = 0, true, len(gone)
}

// repeatQuestion asks again about what was not answered for good.
func (c *Client) repeatQuestion() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if q := &c.questions; len(q.keys) > 0 && !q.open {
		signal(q.box)
	}
}

// askAnew asks from the beginning, on a new connection.
func (c *Client) askAnew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.questions.again()
}

// answer tells the agent what is known of the rows that it asked about.
func (f *follower) answer(ctx context.Context) error {
	f.ses.mu.Lock()
	q := f.ses.question
	f.ses.question = nil
	f.ses.mu.Unlock()
	if q == nil {
		return nil
	}
	var keys []view.Key
	for _, k := range q.GetRows()[:min(len(q.GetRows()), maxQuestion)] {
		keys = append(keys, view.Key{Kind: k.GetKind(), ID: k.GetId()})
	}
	gone, err := f.departed.Confirm(ctx, f.rec.host, keys)
	if err != nil {
		f.log.Error("feed: not all that is known of departed rows could be read", "err", err)
	}
	a := &feedpb.Answer{Number: q.GetNumber()}
	for k, why := range gone {
		a.Gone = append(a.Gone, &feedpb.Gone{Kind: k.Kind, Id: k.ID, Why: why})
	}
	f.warn(ctx, keys, gone)
	return f.stream.Send(&feedpb.View{Answer: a})
}

// warn logs that a host serves with what the store does not have, once until a
// question has had a full answer. Rows that serve nothing by themselves do not
// matter: they go with what needs them.
func (f *follower) warn(ctx context.Context, keys []view.Key, gone map[view.Key]string) {
	lost := 0
	for _, k := range keys {
		switch k.Kind {
		case view.KindPort, view.KindRouter, view.KindFloatingIP, fuse.KindDHCP:
			if _, known := gone[k]; !known {
				lost++
			}
		}
	}
	if lost > 0 && !f.unknown {
		f.log.WarnContext(ctx, "feed: the host serves what the store does not have, and nobody is known to have asked for its end; has the store lost it?", "objects", lost)
	}
	f.unknown = lost > 0
}
