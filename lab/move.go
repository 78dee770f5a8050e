package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Move moves a virtual machine to another host while it runs, with the calls of
// Nova's live migration: a further binding of the port, its interface there, the
// memory, the binding made the active one, and the old one deleted. Nova waits
// for its network-vif-plugged between the second and the third; ready is called
// there. After an error nothing of it is taken back: the lab is to be taken down.
func (l *Lab) Move(ctx context.Context, name, to string, ready func() error) (*Guest, error) {
	unlock, err := l.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	from, err := l.Guest(name)
	if err != nil {
		return nil, err
	}
	there := *from
	if there.host, err = l.Host(to); err != nil {
		return nil, err
	}
	if from.Kind != KindVM || from.Instance.Host == to {
		return nil, fmt.Errorf("lab: move %s to %s: only a virtual machine moves, and to another host", name, to)
	}
	there.Instance.Host, there.incoming = to, true
	if err := from.moveTo(ctx, &there, ready); err != nil {
		return nil, fmt.Errorf("lab: move %s to %s: %w", name, to, err)
	}
	there.incoming = false
	return &there, l.record(ctx, func(st *state) {
		for i := range st.Instances {
			if st.Instances[i].Name == name {
				st.Instances[i].Host = to
			}
		}
	})
}

func (g *Guest) moveTo(ctx context.Context, there *Guest, ready func() error) error {
	bindings := "/v2.0/ports/" + g.PortID + "/bindings"
	call := func(method, path string, body any) error {
		return g.lab.Client().Do(ctx, Request{Method: method, Path: path, Body: body}, nil)
	}
	if err := call("POST", bindings, Object{"binding": Object{"host": there.host.Name}}); err != nil {
		return err
	}
	if err := there.plug(ctx); err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	if err := there.boot(ctx); err != nil {
		return err
	}
	if err := g.migrate(ctx, there); err != nil {
		return err
	}
	if err := call("PUT", bindings+"/"+there.host.Name+"/activate", nil); err != nil {
		return err
	}
	if err := g.powerOff(ctx); err != nil {
		return err
	}
	if _, err := g.host.Run(ctx, g.lab.Binary, "vif", "unplug", "--port", g.PortID); err != nil {
		return err
	}
	if err := call("DELETE", bindings+"/"+g.host.Name, nil); err != nil {
		return err
	}
	return os.RemoveAll(g.directory())
}

// migrate lets QEMU move the memory to the machine that waits for it, and returns
// when that one runs.
func (g *Guest) migrate(ctx context.Context, there *Guest) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	q, err := dialQMP(ctx, g.socket(socketQMP))
	if err != nil {
		return err
	}
	defer q.close()
	if _, err := q.execute(ctx, "migrate", map[string]string{"uri": "unix:" + there.socket(socketIncoming)}); err != nil {
		return err
	}
	return poll(ctx, 10*time.Millisecond, func() error {
		b, err := q.execute(ctx, "query-migrate", nil)
		if err != nil {
			return err
		}
		var answer struct {
			Status string `json:"status"`
			Why    string `json:"error-desc"`
		}
		if err := json.Unmarshal(b, &answer); err != nil {
			return fmt.Errorf("query-migrate: %w", err)
		}
		if answer.Status != "completed" {
			return fmt.Errorf("the migration is %s: %s", answer.Status, answer.Why)
		}
		return nil
	})
}
