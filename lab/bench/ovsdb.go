package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// update is one changed row, as RFC 7047 section 4.1.6 has it.
type update struct {
	table, uuid string
	at          time.Time
	fresh       map[string]json.RawMessage // nil for a row that is gone
}

// follow is a monitor of an Open vSwitch database that notes when each change
// arrives.
type follow struct {
	nc    net.Conn
	ended chan error
}

// followDatabase monitors columns of tables and calls note for each change
// after the present state, until stop.
func followDatabase(ctx context.Context, socket string, tables map[string][]string, note func(update)) (*follow, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	wanted := map[string]any{}
	for table, columns := range tables {
		wanted[table] = map[string]any{"columns": columns, "select": map[string]bool{"initial": false}}
	}
	request := map[string]any{"method": "monitor", "id": "bench", "params": []any{"Open_vSwitch", nil, wanted}}
	if err := json.NewEncoder(nc).Encode(request); err != nil {
		return nil, errors.Join(fmt.Errorf("monitor: %w", err), nc.Close())
	}
	f := &follow{nc: nc, ended: make(chan error, 1)}
	ready := make(chan error, 1)
	go func() { f.ended <- f.read(ready, note) }()
	if err := <-ready; err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	return f, nil
}

// read handles what arrives; the answer to the request comes first.
func (f *follow) read(ready chan<- error, note func(update)) error {
	in, out := json.NewDecoder(f.nc), json.NewEncoder(f.nc)
	for {
		var m struct {
			Method string            `json:"method"`
			Params []json.RawMessage `json:"params"`
			Error  json.RawMessage   `json:"error"`
			ID     json.RawMessage   `json:"id"`
		}
		if err := in.Decode(&m); err != nil {
			if errors.Is(err, net.ErrClosed) {
				err = nil // stop
			}
			select {
			case ready <- errors.Join(errors.New("monitor: connection ended"), err):
			default:
			}
			return err
		}
		now := time.Now()
		switch {
		case m.Method == "echo":
			if err := out.Encode(map[string]any{"id": m.ID, "result": m.Params, "error": nil}); err != nil {
				return err
			}
		case m.Method == "update" && len(m.Params) == 2:
			if err := notes(m.Params[1], now, note); err != nil {
				return err
			}
		case m.Method == "":
			var err error
			if len(m.Error) > 0 && string(m.Error) != "null" {
				err = fmt.Errorf("monitor: %s", m.Error)
			}
			ready <- err
		}
	}
}

func notes(params json.RawMessage, at time.Time, note func(update)) error {
	var tables map[string]map[string]struct {
		New map[string]json.RawMessage `json:"new"`
	}
	if err := json.Unmarshal(params, &tables); err != nil {
		return fmt.Errorf("monitor: %w", err)
	}
	for table, rows := range tables {
		for uuid, row := range rows {
			note(update{table, uuid, at, row.New})
		}
	}
	return nil
}

// stop ends the monitor; after it no note is called.
func (f *follow) stop() error {
	err := f.nc.Close()
	if ended := <-f.ended; ended != nil && !errors.Is(ended, io.EOF) {
		err = errors.Join(err, ended)
	}
	return err
}

// texts is a map column of a row.
func texts(column json.RawMessage) map[string]string {
	var pair []json.RawMessage
	var entries [][2]string
	if json.Unmarshal(column, &pair) != nil || len(pair) != 2 || json.Unmarshal(pair[1], &entries) != nil {
		return nil
	}
	out := map[string]string{}
	for _, e := range entries {
		out[e[0]] = e[1]
	}
	return out
}
