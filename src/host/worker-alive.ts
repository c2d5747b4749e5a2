/** The line by which a worker says that it is still there. Its caller reads it and asks no more of it. */
export const ALIVE = '{"kind":"alive"}';
