// Every address of a name, one a line: by getaddrinfo (`lookup`), or by c-ares (`resolve`).
const dns = require('node:dns').promises;

async function addresses(way, name) {
    if (way === 'lookup') {
        return (await dns.lookup(name, { all: true })).map((found) => found.address);
    }
    const ask = (find) => find(name).catch((error) => {
        if (error.code === 'ENODATA') return [];
        throw error;
    });
    return [...await ask(dns.resolve4), ...await ask(dns.resolve6)];
}

addresses(process.argv[2], process.argv[3]).then((found) => console.log(found.join('\n')), (error) => {
    console.error(String(error));
    process.exit(1);
});
