// An upstream that writes down each request it understands, one line each, and reads no body.
//
//	main PORT LOG
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
)

func main() {
	lines, err := os.OpenFile(os.Args[2], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(lines, "%s %s\n", r.Method, r.RequestURI)
		io.WriteString(w, "ok")
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(handler)))
}
