package openflow

import (
	"context"
	"errors"
	"fmt"

	"neutrino/host"
)

// change is one flow-mod with what its failure is reported as.
type change struct {
	key  host.FlowKey
	why  host.Why
	mod  flowMod
	flow host.Flow // of a put
	used []uint32  // its port numbers
}

// maxAttempts bounds how often a bundle is tried again without the flows that
// a commit refused: a commit names one of them at a time.
const maxAttempts = 64

// bundle makes the changes in one atomic, ordered bundle. Changes that the
// switch refuses are left out, and come back with their errors; the rest is
// made. A plain error is a failure of the connection.
func (c *conn) bundle(ctx context.Context, changes []*change) (made []*change, refused []error, err error) {
	for attempt := 0; len(changes) > 0; attempt++ {
		bad, err := c.tryBundle(ctx, changes)
		if err != nil {
			return nil, refused, err
		}
		if len(bad) == 0 {
			return changes, refused, nil
		}
		rest := changes[:0:0]
		for i, ch := range changes {
			reason, is := bad[i]
			if !is && attempt >= maxAttempts {
				reason, is = errors.New("held back: too many flows beside it are refused"), true
			}
			if is {
				refused = append(refused, itemError(ch.key, ch.why, reason))
				continue
			}
			rest = append(rest, ch)
		}
		changes = rest
	}
	return nil, refused, nil
}

// tryBundle makes all the changes or none; bad holds the refused ones by index.
func (c *conn) tryBundle(ctx context.Context, changes []*change) (bad map[int]error, err error) {
	// One id for opening, one for each change, one for the barrier.
	k := c.call(len(changes) + 2)
	defer c.done(k)
	bundle := k.first
	b := make([]byte, 0, 256*len(changes)+64)
	b = append(b, bundleControl(k.first, bundle, bundleOpen)...)
	for i, ch := range changes {
		b = ch.mod.appendBundled(b, bundle, k.first+1+uint32(i))
	}
	at := len(b)
	b = finish(begin(b, typeBarrier, k.last), at)
	if err := c.sendWithin(ctx, b); err != nil {
		return nil, err
	}
	bad = map[int]error{}
	if err := c.untilBarrier(ctx, k, bad); err != nil {
		return nil, err
	}
	kind := uint16(bundleCommit)
	if len(bad) > 0 {
		// A bundle commits what is left of it: it does not fail as a whole by itself.
		kind = bundleDiscard
	}
	_, err = c.ask(ctx, typeBundle, func(xid uint32) []byte { return bundleControl(xid, bundle, kind) })
	var refusal *SwitchError
	if !errors.As(err, &refusal) || kind == bundleDiscard {
		return bad, err
	}
	// The flow that made the commit fail was named just before.
	for c.take(k, bad) {
	}
	if len(bad) == 0 {
		return nil, fmt.Errorf("commit of %d flows: %w", len(changes), err)
	}
	return bad, nil
}

// untilBarrier collects refusals until the barrier's reply.
func (c *conn) untilBarrier(ctx context.Context, k *call, bad map[int]error) error {
	for {
		m, err := c.next(ctx, k)
		if err != nil {
			return err
		}
		switch {
		case m.kind == typeBarrierRep:
			return nil
		case m.kind == typeError && m.xid != k.first && m.xid != k.last:
			bad[int(m.xid-k.first)-1] = decodeError(m.body)
		case m.kind == typeError:
			return fmt.Errorf("open bundle: %w", decodeError(m.body))
		}
	}
}

// take notes one refusal that has come already.
func (c *conn) take(k *call, bad map[int]error) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.queue) == 0 {
		return false
	}
	m := k.queue[0]
	k.queue = k.queue[1:]
	if m.kind == typeError && m.xid != k.first && m.xid != k.last {
		bad[int(m.xid-k.first)-1] = decodeError(m.body)
	}
	return true
}
