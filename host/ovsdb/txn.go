package ovsdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"neutrino/host"
)

// txn collects the operations of one transaction (RFC 7047, 5.2).
type txn struct {
	ops     []any
	touched map[string]bool
	names   int
	takeUp  bool // ovs-vswitchd has something to do
}

// touch marks a row that exists as one that we write.
func (t *txn) touch(uuid string) { t.touched[uuid] = true }

// insert adds a row and returns its name within the transaction. The name
// column of the row tells later that the new row is ours.
func (t *txn) insert(table string, row map[string]any) string {
	t.names++
	id := fmt.Sprintf("row%d", t.names)
	t.touched[fmt.Sprintf("%s/%v", table, row["name"])] = true
	t.ops = append(t.ops, map[string]any{"op": "insert", "table": table, "uuid-name": id, "row": row})
	return id
}

func (t *txn) update(table, uuid string, row map[string]any) {
	t.touch(uuid)
	t.ops = append(t.ops, map[string]any{"op": "update", "table": table, "where": byUUID(uuid), "row": row})
}

// mutate changes some elements of sets or maps and leaves the others.
func (t *txn) mutate(table, uuid string, mutations ...[3]any) {
	t.touch(uuid)
	t.ops = append(t.ops, map[string]any{"op": "mutate", "table": table, "where": byUUID(uuid), "mutations": mutations})
}

// root changes the one row of table Open_vSwitch.
func (t *txn) root(mutations ...[3]any) {
	t.ops = append(t.ops, map[string]any{"op": "mutate", "table": tableRoot, "where": []any{}, "mutations": mutations})
}

// put sets keys of a map column and removes those keys of drop that are not
// set; other keys stay.
func (t *txn) put(row [3]string, drop []string, set map[string]string) {
	gone := append(keysOf(set), drop...)
	slices.Sort(gone)
	gone = slices.Compact(gone) // the server takes no element twice
	if len(gone) == 0 {
		return
	}
	m := [][3]any{{row[2], "delete", wireSet(gone...)}}
	if len(set) > 0 {
		m = append(m, [3]any{row[2], "insert", wireMap(set)})
	}
	t.mutate(row[0], row[1], m...)
}

func byUUID(uuid string) []any { return []any{[]any{"_uuid", "==", wireUUID(uuid)}} }

// refused is the server's answer to a transaction that it did not do.
type refused struct{ what, details string }

func (r *refused) Error() string {
	if r.details == "" {
		return r.what
	}
	return r.what + ": " + r.details
}

type opResult struct {
	Error   string             `json:"error"`
	Details string             `json:"details"`
	Rows    []map[string]int64 `json:"rows"`
}

// transact sends a transaction, whole or not at all. What it returns is the
// number that Open_vSwitch.cur_cfg reaches when ovs-vswitchd has taken it up,
// 0 for a transaction that needs none.
func (d *DB) transact(ctx context.Context, what string, t *txn) (int64, error) {
	if len(t.ops) == 0 {
		return 0, nil
	}
	params := append([]any{tableRoot}, t.ops...)
	params = append(params, map[string]any{"op": "comment", "comment": "neutrino: " + what})
	if t.takeUp {
		params = append(params,
			map[string]any{"op": "mutate", "table": tableRoot, "where": []any{}, "mutations": [][3]any{{"next_cfg", "+=", 1}}},
			map[string]any{"op": "select", "table": tableRoot, "where": []any{}, "columns": []string{"next_cfg"}})
	}
	c, err := d.connection(ctx)
	if err != nil {
		return 0, err
	}
	d.touched = t.touched
	d.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var results []*opResult
	err = c.call(ctx, request{Method: "transact", Params: params}, func(r json.RawMessage) error {
		d.mu.Lock()
		d.touched = nil
		d.mu.Unlock()
		return json.Unmarshal(r, &results)
	})
	if err != nil {
		return 0, fmt.Errorf("ovsdb: %s: %w", what, err)
	}
	var config int64
	for _, r := range results {
		if r == nil {
			continue // not tried, after one that failed
		}
		if r.Error != "" {
			return 0, fmt.Errorf("ovsdb: %s: %w", what, &refused{r.Error, r.Details})
		}
		if len(r.Rows) == 1 {
			config = r.Rows[0]["next_cfg"]
		}
	}
	return config, nil
}

// change is what one item of a batch needs.
type change struct {
	item  string // for messages: "port gre-0a000002"
	why   host.Why
	build func(*txn)
}

// commit does the changes in one transaction. Where the server refuses it,
// each change is tried alone, so that a bad one harms only itself. It waits
// until ovs-vswitchd has taken up what it has to. Errors are joined
// [host.ItemError] values; any other error concerns the whole database.
func (d *DB) commit(ctx context.Context, what string, changes []change) error {
	all := newTxn()
	for _, c := range changes {
		c.build(all)
	}
	config, err := d.transact(ctx, what, all)
	var no *refused
	if !errors.As(err, &no) {
		if err == nil {
			d.takenUp(ctx, config)
		}
		return err
	}
	var bad []error
	for _, c := range changes {
		t := newTxn()
		c.build(t)
		n, err := d.transact(ctx, what, t)
		if err != nil && !errors.As(err, &no) {
			return err
		}
		if err != nil {
			bad = append(bad, &host.ItemError{Item: c.item, Why: c.why, Err: err})
		}
		config = max(config, n)
	}
	d.takenUp(ctx, config)
	return errors.Join(bad...)
}

func newTxn() *txn { return &txn{touched: map[string]bool{}} }

// takenUp waits for ovs-vswitchd. That it did not answer in time is no error
// here: whoever needs its answer finds it missing.
func (d *DB) takenUp(ctx context.Context, config int64) {
	if config > 0 {
		d.await(ctx, func(c *cache) bool { return c.curCfg >= config })
	}
}

// look is the cache by name, read under the lock.
func (d *DB) look(ctx context.Context) (*index, error) {
	if _, err := d.connection(ctx); err != nil {
		return nil, err
	}
	defer d.mu.Unlock()
	return d.cache.index(), nil
}
