// Package identity gives a store its name: which cloud's state it holds, and in
// which of its lives. The name is a key of the engine beside the rows, and the
// server keeps a trace of it outside the database, so that an empty, strange or
// older database is not taken for the cloud's.
package identity

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"

	"neutrino"
	"neutrino/store/engine"
)

// Key is the engine's key of the identity.
const Key = "/i"

// ErrChanged is what [Sign] answers when somebody else writes to the store.
var ErrChanged = errors.New("identity: the store changes meanwhile; stop the server that writes to it")

// Decode reads an identity as it is in the engine.
func Decode(value []byte) (neutrino.StoreIdentity, error) {
	var id neutrino.StoreIdentity
	if err := json.Unmarshal(value, &id); err != nil {
		return id, fmt.Errorf("identity: read key %s: %w", Key, err)
	}
	if !id.Named() {
		return id, fmt.Errorf("identity: key %s names no cluster or no life: %q", Key, value)
	}
	return id, nil
}

// Read is the store's identity, without a name when it has none, and its newest
// revision, 0 when it is empty.
func Read(ctx context.Context, e engine.Engine) (neutrino.StorePosition, error) {
	at, _, err := read(ctx, e)
	return at, err
}

// read gives also the revision of the identity's last change, 0 when there is none.
func read(ctx context.Context, e engine.Engine) (at neutrino.StorePosition, mod int64, err error) {
	list, rev, err := e.Range(ctx, Key, 0)
	if err != nil {
		return at, 0, fmt.Errorf("identity: %w", err)
	}
	at.Revision = rev
	for kv := range list.All() {
		if kv.Key == Key {
			at.StoreIdentity, err = Decode(kv.Value)
			return at, kv.Mod, err
		}
	}
	return at, 0, nil
}

// Begin begins a life of the store, in a transaction of its own: with each start of
// a server, also when nothing was written since the last one: a copy of that state
// may have gone on elsewhere. A store without a name gets one, as the first life of a
// new cluster. Other servers may write meanwhile.
func Begin(ctx context.Context, e engine.Engine) (neutrino.StorePosition, error) {
	for {
		was, mod, err := read(ctx, e)
		if err != nil {
			return was, err
		}
		id := neutrino.StoreIdentity{Cluster: newID(), Life: newID()}
		if was.Named() {
			id = was.Next(newID(), was.Revision)
		}
		now, err := after{was.Revision, mod}.put(ctx, e, id)
		if !errors.Is(err, ErrChanged) {
			return now, err
		}
	}
}

// Sign begins a new life of the store as it is now, which somebody put in the place
// of what served before: what came later is given up. Agents that hold a view of a
// life before, or of one of the others, take it. others are the lives that it
// replaces and that it may not know, because it is a copy of before: that of the
// trace. Those of another cluster are an error. Nobody else may write to the engine;
// [ErrChanged] says that it was written to, and nothing is signed then.
func Sign(ctx context.Context, e engine.Engine, others ...neutrino.StoreIdentity) (neutrino.StorePosition, error) {
	was, mod, err := read(ctx, e)
	if err != nil {
		return was, err
	}
	id := was.StoreIdentity
	for _, o := range others {
		switch {
		case o.Cluster == "":
		case id.Cluster == "":
			id.Cluster = o.Cluster // a copy of before stores had names
		case o.Cluster != id.Cluster:
			return was, fmt.Errorf("identity: this is the store of cluster %s, and not of cluster %s", id.Cluster, o.Cluster)
		}
	}
	if id.Cluster == "" {
		return Begin(ctx, e)
	}
	return after{was.Revision, mod}.put(ctx, e, id.Restored(newID(), was.Revision, others...))
}

// after is a state of the store: its revision, and that of the identity's last
// change, 0 for none.
type after struct{ revision, identity int64 }

// put writes an identity, if the store is still in that state.
func (a after) put(ctx context.Context, e engine.Engine, id neutrino.StoreIdentity) (neutrino.StorePosition, error) {
	value, err := json.Marshal(id)
	if err != nil {
		return neutrino.StorePosition{}, fmt.Errorf("identity: %w", err)
	}
	same := engine.Compare{Test: engine.ModRevision, Key: Key, Rev: a.identity}
	if a.identity == 0 {
		same = engine.Compare{Test: engine.Absent, Key: Key}
	}
	unchanged := engine.Compare{Test: engine.RangeBefore, Key: "/", Rev: a.revision}
	rev, ok, err := e.Txn(ctx, []engine.Compare{unchanged, same}, []engine.Op{engine.Put(Key, value)})
	switch {
	case err != nil:
		return neutrino.StorePosition{}, fmt.Errorf("identity: begin a life of the store: %w", err)
	case !ok:
		return neutrino.StorePosition{}, ErrChanged
	}
	return neutrino.StorePosition{StoreIdentity: id, Revision: rev}, nil
}

func newID() neutrino.ID {
	var random [16]byte
	// It does not fail: crypto/rand ends the program when the system has no randomness.
	_, _ = rand.Read(random[:])
	return neutrino.NewID(random)
}
