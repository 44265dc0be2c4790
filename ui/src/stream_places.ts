/**
 * A browser allows six connections to a host over HTTP/1.1, all its windows together: streams take four of them at most, or a seventh
 * window would not even load. Whoever gets no place looks now and then instead, and asks again.
 */

const PLACES = 4;

/** Gives the place back when called; undefined where all are taken. */
export async function takePlace(): Promise<(() => void) | undefined> {
  // Browsers know locks only over HTTPS and on the same machine; and HTTP/2 has room for all.
  if (!("locks" in navigator) || isShared()) return () => undefined;
  for (let number = 0; number < PLACES; number++) {
    const giveBack = await ask(`sirdar-stream-${number}`);
    if (giveBack) return giveBack;
  }
  return undefined;
}

function ask(name: string): Promise<(() => void) | undefined> {
  return new Promise((answer) => {
    void navigator.locks.request(name, { ifAvailable: true }, (lock) => {
      if (!lock) return answer(undefined);
      return new Promise<void>((giveBack) => answer(giveBack));
    });
  });
}

/** All requests go over one connection. */
function isShared(): boolean {
  const [page] = performance.getEntriesByType("navigation") as PerformanceNavigationTiming[];
  return /^h[23]/.test(page?.nextHopProtocol ?? "");
}
