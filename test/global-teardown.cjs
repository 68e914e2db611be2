/** Stops what global-setup.cjs started; closing the child's standard input is the order to stop. */
module.exports = async () => {
  const services = globalThis.__portcullisTestServices;
  if (!services) return;
  globalThis.__portcullisTestServices = undefined;
  const exited = new Promise((resolve) => services.once('exit', resolve));
  services.stdin.end();
  await exited;
};
