package lab

import (
	"bytes"
	"fmt"
)

// archive writes a cpio archive in the "newc" form, which the kernel unpacks
// as its first root file system (the kernel's initramfs buffer format).
type archive struct {
	buf   bytes.Buffer
	inode int
}

// The file types and permissions that the archive's members have.
const (
	modeDirectory  = 0o040755
	modeExecutable = 0o100755
)

func (a *archive) directory(name string) { a.member(name, modeDirectory, nil) }

func (a *archive) file(name string, content []byte) { a.member(name, modeExecutable, content) }

func (a *archive) member(name string, mode int, content []byte) {
	a.inode++
	a.buf.WriteString("070701")
	for _, field := range [...]int{
		a.inode, mode, 0, 0, // inode, mode, uid, gid
		1, 0, len(content), // links, time, size
		0, 0, 0, 0, // device and special device, major and minor
		len(name) + 1, 0, // length of the name with its NUL, no checksum
	} {
		fmt.Fprintf(&a.buf, "%08X", field)
	}
	a.buf.WriteString(name)
	a.buf.WriteByte(0)
	a.pad()
	a.buf.Write(content)
	a.pad()
}

// pad fills up to a multiple of four bytes, where header and content begin.
func (a *archive) pad() {
	for a.buf.Len()%4 != 0 {
		a.buf.WriteByte(0)
	}
}

// bytes ends the archive and returns it.
func (a *archive) bytes() []byte {
	a.member("TRAILER!!!", 0, nil)
	return a.buf.Bytes()
}
