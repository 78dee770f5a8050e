package main

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
)

const formPage = `<noscript><div class="alert alert-danger">no scripts</div></noscript>
<form action="/make/"><input type="hidden" name="csrfmiddlewaretoken" value="t"><input name="name" value="">
<input type="checkbox" name="up" checked><input type="checkbox" name="shared" value="yes">
<select name="version"><option value="4">IPv4<option value="6">IPv6</select>
<select name="net"><option value="">Select<option value="n1" selected>web: 10.0.0.0/24<option value="n2">db: 10.1.0.0/24</select>
<textarea name="note">as it was</textarea><input type="submit" name="ok" value="Go"></form>`

func TestAFormIsFilledInAsABrowserDoes(t *testing.T) {
	root, err := html.Parse(strings.NewReader(formPage))
	if err != nil {
		t.Fatal(err)
	}
	p := &page{root: root}
	if said := p.complaint(); said != "" {
		t.Errorf("the page complains: %s", said)
	}
	form := p.form("/make/")
	if form == nil || p.form("/other/") != nil {
		t.Fatal("the form is not found by where it leads")
	}
	const want = "csrfmiddlewaretoken=t&name=&net=n1&note=as+it+was&up=on&version=4"
	if got := fieldsOf(form).Encode(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, c := range [][3]string{{"net", "db", "n2"}, {"net", "n2", "n2"}, {"name", "blue", "blue"}} {
		if got, err := choose(form, c[0], c[1]); err != nil || got != c[2] {
			t.Errorf("%s = %s: got %q, %v", c[0], c[1], got, err)
		}
	}
	for name, says := range map[string]string{"net": "net offers Select, web: 10.0.0.0/24, db: 10.1.0.0/24, not mail", "color": "the form has no field color"} {
		if _, err := choose(form, name, "mail"); err == nil || err.Error() != says {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAPageThatTellsOfAnErrorIsOne(t *testing.T) {
	for text, want := range map[string]string{
		`<div class="alert alert-danger"><p><strong>Error: </strong>Unable to delete</p></div>`:                 "Error: Unable to delete",
		`<div class="form-group has-error"><label>CIDR</label> <span class="help-block">not valid</span></div>`: "CIDR not valid",
		`<div class="alert alert-success">Success: made</div>`:                                                  "",
	} {
		root, err := html.Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := (&page{root: root}).complaint(); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
