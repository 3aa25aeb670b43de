#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""agent.py SOCKET DIR - as much of fermatad's API as a shim asks for.

DIR/attach and DIR/job hold the replies' JSON, read at each request; one with an "error" key is sent as HTTP 500.  A
missing file is "not found".  DIR/log gets a line a request.
"""
import http.server
import json
import os
import socketserver
import sys

path, folder = sys.argv[1:3]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def reply(self):
        self.rfile.read(int(self.headers.get('Content-Length') or 0))
        with open(folder + '/log', 'a') as log:
            log.write(self.command + ' ' + self.path + '\n')
        name = 'attach' if self.path.endswith('/attach') else 'job'
        if self.path == '/v1/status':
            status, body = 200, '{}'
        else:
            try:
                with open(folder + '/' + name) as f:
                    body = f.read()
                status = 500 if 'text' in json.loads(body).get('error', {}) else 200
            except FileNotFoundError:
                status, body = 404, '{"error":{"code":3,"name":"not found","text":"no such job"}}'
        self.send_response(status)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_GET = do_POST = reply

    def address_string(self):
        return 'local'

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


if os.path.exists(path):
    os.unlink(path)
Server(path, Handler).serve_forever()
