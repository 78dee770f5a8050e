package store_test

import (
	"bytes"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"neutrino"
	"neutrino/store"
	"neutrino/store/engine"
	"neutrino/store/engine/sqlite"
)

// tomorrows is a field that this program does not have: number, length, value.
const tomorrows = "\xfe\xff\x05x-ray"

// A server that is older than its store says so, and loses nothing that the newer
// one wrote when it writes a row anew.
func TestAnOlderServerKeepsWhatANewerOneWrote(t *testing.T) {
	var log bytes.Buffer
	was := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(was)
	e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "db")})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	open := func() *store.DB {
		db, err := store.Open(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	db := open()
	port, network := numbered(1, netA, subnetA), &neutrino.Network{ID: netA, Name: "before"}
	update(t, db, func(tx *store.Tx) {
		store.Put(tx, store.Ports, port)
		store.Put(tx, store.Networks, network)
	})
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	keys := []string{"/t/ports/" + string(port.ID), "/t/networks/" + string(netA)}
	if strings.Contains(log.String(), "NEWER") {
		t.Errorf("a store of our own is said to be a newer program's: %s", log.String())
	}
	onEngine(t, e, keys, func(value string) string { return value + tomorrows })

	db = open()
	if !strings.Contains(log.String(), "A NEWER PROGRAM WROTE THIS STORE") || !strings.Contains(log.String(), "table=ports rows=1") {
		t.Errorf("the log says: %s", log.String())
	}
	for range 2 { // what was written once is written again
		update(t, db, func(tx *store.Tx) {
			p, _ := store.Get(tx, store.Ports, port.ID)
			changed := *p
			changed.Name += "x"
			store.Put(tx, store.Ports, &changed)
			n, _ := store.Get(tx, store.Networks, netA)
			other := *n
			other.Name += "x"
			store.Put(tx, store.Networks, &other)
		})
	}
	if n, _ := store.Get(db.Snapshot(), store.Networks, netA); n.Name != "beforexx" {
		t.Errorf("the network's name is %q", n.Name)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	onEngine(t, e, keys, func(value string) string {
		if strings.Count(value, tomorrows) != 1 {
			t.Errorf("after two writes the row is %q", value)
		}
		return value
	})
}

// onEngine changes rows below the store.
func onEngine(t *testing.T, e engine.Engine, keys []string, change func(string) string) {
	t.Helper()
	list, _, err := e.Range(t.Context(), "/", 0)
	if err != nil {
		t.Fatal(err)
	}
	var ops []engine.Op
	for kv := range list.All() {
		for _, key := range keys {
			if kv.Key == key {
				ops = append(ops, engine.Put(key, []byte(change(string(kv.Value)))))
			}
		}
	}
	if len(ops) != len(keys) {
		t.Fatalf("%d of the rows %v are there", len(ops), keys)
	}
	if _, ok, err := e.Txn(t.Context(), nil, ops); err != nil || !ok {
		t.Fatal(err)
	}
}
