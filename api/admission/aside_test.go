package admission

import (
	"bytes"
	"testing"
)

// What goes wrong beside the request goes wrong in it: a panic in another goroutine
// would be the server's end.
func TestAPanicBesideTheRequestIsOfTheRequest(t *testing.T) {
	var good, bad Aside
	good.Write(func() []byte { return []byte("fine") })
	bad.Write(func() []byte { panic("broken") })
	if !bytes.Equal(good.Text(), []byte("fine")) {
		t.Errorf("written: %q", good.Text())
	}
	defer func() {
		if p := recover(); p != "broken" {
			t.Errorf("the request heard %v", p)
		}
	}()
	bad.Text()
}
