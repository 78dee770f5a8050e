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

// Create gives a store without a name one, in a transaction of its own: the first
// life of a new cluster. A store that has a name keeps it.
func Create(ctx context.Context, e engine.Engine) (neutrino.StorePosition, error) {
	id := neutrino.StoreIdentity{Cluster: newID(), Life: newID()}
	value, err := json.Marshal(id)
	if err != nil {
		return neutrino.StorePosition{}, fmt.Errorf("identity: %w", err)
	}
	rev, ok, err := e.Txn(ctx, []engine.Compare{{Test: engine.Absent, Key: Key}}, []engine.Op{engine.Put(Key, value)})
	if err != nil {
		return neutrino.StorePosition{}, fmt.Errorf("identity: name the store: %w", err)
	}
	if !ok {
		return Read(ctx, e)
	}
	return neutrino.StorePosition{StoreIdentity: id, Revision: rev}, nil
}

// Sign begins a new life of the store as it is now. Agents that hold a view of the
// store's life before, or of one of the others, take the new one's. others are the
// lives that it replaces and that it may not know, because it is a copy of before:
// that of the trace. Those of another cluster are an error. The engine must not be
// written by anybody else; [ErrChanged] says that it was, and nothing is signed then.
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
		return Create(ctx, e)
	}
	value, err := json.Marshal(id.Next(newID(), was.Revision, others...))
	if err != nil {
		return was, fmt.Errorf("identity: %w", err)
	}
	unchanged := engine.Compare{Test: engine.RangeBefore, Key: "/", Rev: was.Revision}
	same := engine.Compare{Test: engine.ModRevision, Key: Key, Rev: mod}
	if mod == 0 {
		same = engine.Compare{Test: engine.Absent, Key: Key}
	}
	_, ok, err := e.Txn(ctx, []engine.Compare{unchanged, same}, []engine.Op{engine.Put(Key, value)})
	switch {
	case err != nil:
		return was, fmt.Errorf("identity: sign a new life: %w", err)
	case !ok:
		return was, ErrChanged
	}
	return Read(ctx, e)
}

func newID() neutrino.ID {
	var random [16]byte
	// It does not fail: crypto/rand ends the program when the system has no randomness.
	_, _ = rand.Read(random[:])
	return neutrino.NewID(random)
}
