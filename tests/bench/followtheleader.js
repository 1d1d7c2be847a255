// npm's followtheleader 2.0.9 with its roles told to the lab's stamps.
//
//   node followtheleader.js patched|published DIRECTORY-OF-NODE_MODULES STAMP ARGUMENT...
//
// As published it announces the leader as _ftl._udp and looks for it as _ftl._tcp: nobody is ever
// found, so everybody leads. `patched` looks where it announces, and changes nothing else.
'use strict'

const { spawn } = require('child_process')
const { createRequire } = require('module')
const path = require('path')

const [form, directory, ...stamp] = process.argv.slice(2)
const requireThere = createRequire(path.join(directory, 'node_modules', 'here.js'))

if (form === 'patched') {
  const Bonjour = requireThere('bonjour')
  const findOne = Bonjour.prototype.findOne
  Bonjour.prototype.findOne = function (options, found) {
    return findOne.call(this, { protocol: 'udp', ...options }, found)
  }
}

const { BonjourElector } = requireThere('followtheleader')
const elector = new BonjourElector({ name: 'lab' })
for (const event of ['leader', 'follower', 'reelection', 'error']) {
  elector.on(event, (error) => {
    if (error) console.error(error)
    spawn(stamp[0], [...stamp.slice(1), event, 'lab', event, '0'], { stdio: 'inherit' })
  })
}
elector.start()
