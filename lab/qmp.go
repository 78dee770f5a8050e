package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"
)

// qmp speaks QEMU's machine protocol on a unix socket: one JSON object a
// line; a greeting, then capabilities, then commands (QEMU's qmp-spec).
type qmp struct {
	conn net.Conn
	dec  *json.Decoder
}

type qmpAnswer struct {
	QMP    json.RawMessage `json:"QMP"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	Event string `json:"event"`
}

func dialQMP(ctx context.Context, path string) (*qmp, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("lab: qmp: %w", err)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(10 * time.Second)
	}
	q := &qmp{conn: conn, dec: json.NewDecoder(bufio.NewReader(conn))}
	err = conn.SetDeadline(deadline)
	if err == nil {
		var greeting qmpAnswer
		err = q.dec.Decode(&greeting)
		if err == nil && greeting.QMP == nil {
			err = errors.New("no greeting")
		}
	}
	if err == nil {
		_, err = q.execute(ctx, "qmp_capabilities", nil)
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("lab: qmp %s: %w", path, err)
	}
	return q, nil
}

// execute runs a command and skips the events before its answer.
func (q *qmp) execute(_ context.Context, command string, arguments map[string]string) (json.RawMessage, error) {
	request := struct {
		Execute   string            `json:"execute"`
		Arguments map[string]string `json:"arguments,omitempty"`
	}{command, arguments}
	if err := json.NewEncoder(q.conn).Encode(request); err != nil {
		return nil, fmt.Errorf("lab: qmp: %s: %w", command, err)
	}
	for {
		var a qmpAnswer
		if err := q.dec.Decode(&a); err != nil {
			return nil, fmt.Errorf("lab: qmp: %s: %w", command, err)
		}
		switch {
		case a.Error != nil:
			return nil, fmt.Errorf("lab: qmp: %s: %s: %s", command, a.Error.Class, a.Error.Desc)
		case a.Return != nil:
			return a.Return, nil
		}
	}
}

func (q *qmp) close() error { return q.conn.Close() }

// machineStatus is QEMU's word for what a machine does: "running", "paused".
func machineStatus(ctx context.Context, path string) (string, error) {
	q, err := dialQMP(ctx, path)
	if err != nil {
		return "", err
	}
	defer q.close()
	b, err := q.execute(ctx, "query-status", nil)
	if err != nil {
		return "", err
	}
	var answer struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(b, &answer); err != nil {
		return "", fmt.Errorf("lab: qmp: query-status: %w", err)
	}
	return answer.Status, nil
}

// machineQuit ends a machine at once, as pulling its plug would.
func machineQuit(ctx context.Context, path string) error {
	return machineDo(ctx, path, "quit", nil)
}

// machineDo runs one command whose answer says nothing more.
func machineDo(ctx context.Context, path, command string, arguments map[string]string) error {
	q, err := dialQMP(ctx, path)
	if err != nil {
		return err
	}
	defer q.close()
	_, err = q.execute(ctx, command, arguments)
	return err
}

// Record writes the frames that cross a virtual machine's NIC to a file in
// pcap form, each behind a virtio header, until stop is called: the one place
// where a frame can be seen before it has left the machine. The clock of the
// file counts from the machine's start (QEMU's filter-dump).
func (g *Guest) Record(ctx context.Context, file string) (stop func(context.Context) error, err error) {
	if g.Kind != KindVM {
		return nil, fmt.Errorf("lab: %s is a namespace: use tcpdump in it", g.Name)
	}
	const id = "record"
	do := func(ctx context.Context, command string, arguments map[string]string) error {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		return machineDo(ctx, g.socket(socketQMP), command, arguments)
	}
	err = do(ctx, "object-add", map[string]string{"qom-type": "filter-dump", "id": id, "netdev": "net0", "file": file})
	return func(ctx context.Context) error { return do(ctx, "object-del", map[string]string{"id": id}) }, err
}
