// Go as in the example of package net: a goroutine for each connection copies the connection into itself.
// Go sets TCP_NODELAY by default, and its copy on Linux is splice(2) through a pipe.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintf(os.Stderr, "usage: %s ADDR, such as 127.0.0.1:7007; port 0 takes a free one\n", os.Args[0])
		os.Exit(2)
	}
	if err := serve(os.Args[1]); err != nil {
		fmt.Fprintf(os.Stderr, "cannot serve on %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func serve(addr string) error {
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "listening on %s\n", listener.Addr())
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			io.Copy(conn, conn)
		}()
	}
}
