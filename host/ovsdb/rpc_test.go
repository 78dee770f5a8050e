package ovsdb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// While ovsdb-server has something to say it does not listen. A pipe without a
// buffer makes that certain: in the middle of our request it sends an answer,
// an echo and an update, and takes the rest only when the update was handled.
func TestAServerThatSpeaksBeforeItListensIsHeard(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	c := &conn{nc: client, pending: map[uint64]func(json.RawMessage, error){}}
	updated := make(chan struct{})
	served := make(chan error, 1)
	go func() {
		served <- c.serve(func(json.RawMessage) error { close(updated); return nil })
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // less than writeTimeout
	defer cancel()
	asked := make(chan error, 1)
	go func() {
		asked <- c.call(ctx, request{Method: "transact"}, func(json.RawMessage) error { return nil })
	}()

	first := make([]byte, 1)
	if _, err := io.ReadFull(server, first); err != nil {
		t.Fatal(err)
	}
	if err := server.SetDeadline(time.Now().Add(4 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{`{"id":77,"result":[],"error":null}`, `{"id":"echo","method":"echo","params":[]}`, `{"id":null,"method":"update","params":[]}`} {
		if _, err := io.WriteString(server, m); err != nil {
			t.Fatalf("the client does not read %s: %v", m, err)
		}
	}
	<-updated
	answers := json.NewDecoder(io.MultiReader(bytes.NewReader(first), server))
	var ask, echo message
	if err := answers.Decode(&ask); err != nil || ask.Method != "transact" {
		t.Fatalf("request %+v, %v", ask, err)
	}
	if err := answers.Decode(&echo); err != nil || string(echo.ID) != `"echo"` {
		t.Fatalf("answer to the echo %+v, %v", echo, err)
	}
	if _, err := fmt.Fprintf(server, `{"id":%s,"result":[],"error":null}`, ask.ID); err != nil {
		t.Fatal(err)
	}
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	c.close()
	<-served
}
